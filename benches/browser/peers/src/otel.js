// OpenTelemetry JS with its stack-based context manager, which loses the context at the first `await`.
import { trace } from "./otel-common.js";

export function start(base) {
  trace(base);
}
