// Honeycomb's distribution of OpenTelemetry JS, configured as in its guide.
import { HoneycombWebSDK, WebVitalsInstrumentation } from "@honeycombio/opentelemetry-web";
import { getWebAutoInstrumentations } from "@opentelemetry/auto-instrumentations-web";

export function start(base) {
  new HoneycombWebSDK({
    apiKey: "none",
    endpoint: base,
    instrumentations: [getWebAutoInstrumentations(), new WebVitalsInstrumentation()],
    serviceName: "bench",
    // Without log messages, and without a request that validates the key.
    skipOptionsValidation: true,
  }).start();
}
