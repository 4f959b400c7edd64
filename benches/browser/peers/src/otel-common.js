import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { DocumentLoadInstrumentation } from "@opentelemetry/instrumentation-document-load";
import { FetchInstrumentation } from "@opentelemetry/instrumentation-fetch";
import { UserInteractionInstrumentation } from "@opentelemetry/instrumentation-user-interaction";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, WebTracerProvider } from "@opentelemetry/sdk-trace-web";

// The same as for our tracer in this benchmark; the default of both is 5 s.
const FLUSH_INTERVAL_MS = 1000;

export function trace(base, contextManager) {
  const url = `${base}/v1/traces`;
  const exporter = new OTLPTraceExporter({ url });
  const provider = new WebTracerProvider({
    resource: resourceFromAttributes({ "service.name": "bench" }),
    spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: FLUSH_INTERVAL_MS })],
  });
  provider.register({ contextManager });
  registerInstrumentations({
    instrumentations: [
      new DocumentLoadInstrumentation(),
      new FetchInstrumentation({ ignoreUrls: [url] }),
      new UserInteractionInstrumentation(),
    ],
  });
}
