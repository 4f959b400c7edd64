// Honeycomb's distribution of OpenTelemetry JS as its guide has it.
import { HoneycombWebSDK, WebVitalsInstrumentation } from "@honeycombio/opentelemetry-web";
import { getWebAutoInstrumentations } from "@opentelemetry/auto-instrumentations-web";

export function start(base) {
  new HoneycombWebSDK({
    apiKey: "none",
    endpoint: base,
    instrumentations: [getWebAutoInstrumentations(), new WebVitalsInstrumentation()],
    serviceName: "bench",
    // Says nothing, and does not look up where a key belongs.
    skipOptionsValidation: true,
  }).start();
}
