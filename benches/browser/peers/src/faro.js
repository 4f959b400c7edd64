// Grafana Faro with tracing, configured as in its guide.
import { getWebInstrumentations, initializeFaro } from "@grafana/faro-web-sdk";
import { TracingInstrumentation } from "@grafana/faro-web-tracing";

export function start(base) {
  initializeFaro({
    app: { name: "bench" },
    instrumentations: [...getWebInstrumentations(), new TracingInstrumentation()],
    url: `${base}/collect`,
  });
}
