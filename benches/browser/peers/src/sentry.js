// Sentry with errors and tracing; everything is sampled.
import { browserTracingIntegration, init } from "@sentry/browser";

export function start(base) {
  init({
    dsn: base.replace("://", "://none@") + "/1",
    integrations: [browserTracingIntegration()],
    tracesSampleRate: 1,
  });
}
