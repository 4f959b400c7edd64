// OpenTelemetry JS with zone.js, which keeps the context across callbacks.
import { ZoneContextManager } from "@opentelemetry/context-zone";

import { trace } from "./otel-common.js";

export function start(base) {
  trace(base, new ZoneContextManager());
}
