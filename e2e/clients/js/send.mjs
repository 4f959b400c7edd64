// Sends a trace whose spans use every field, with the OpenTelemetry SDK.
//
// Usage: send.mjs (http/json | http/protobuf | grpc) ENDPOINT (none | gzip). Prints the ids of the spans as JSON.

import { ROOT_CONTEXT, SpanKind, SpanStatusCode, createTraceState, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const [protocol, endpoint, compression] = process.argv.slice(2);
const at = (nanoseconds) => [1_700_000_000, 1 + nanoseconds];

const exporter = {
  "http/json": () => new JsonExporter({ url: `${endpoint}/v1/traces`, compression }),
  "http/protobuf": () => new ProtobufExporter({ url: `${endpoint}/v1/traces`, compression }),
  grpc: () => new GrpcExporter({ url: endpoint, compression }),
}[protocol]();

const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": "js-client", wholes: [7, 8] }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
const tracer = provider.getTracer("scope", "1.2.3");

const root = tracer.startSpan("root", { kind: SpanKind.SERVER, startTime: at(0) }, ROOT_CONTEXT);
const linked = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: 1,
  isRemote: true,
  traceState: createTraceState("a=b"),
};
const child = tracer.startSpan(
  "child",
  {
    kind: SpanKind.CLIENT,
    startTime: at(1_000),
    attributes: {
      text: "grüße 🦀 <b>",
      empty: "",
      yes: true,
      no: false,
      whole: 42,
      negative: -9007199254740991,
      ratio: 0.5,
      texts: ["a", "b"],
      truths: [true, false],
      wholes: [1, 2, 3],
      ratios: [0.5, 1.5],
      nothing: [],
    },
    links: [{ context: linked, attributes: { why: "retry", times: 2 } }],
  },
  trace.setSpan(ROOT_CONTEXT, root),
);
child.addEvent("warning", { message: "ouch", loud: true, lines: [1, 2] }, at(1_500));
child.addEvent("again", at(1_600));
child.setStatus({ code: SpanStatusCode.ERROR, message: "it broke" });
child.end(at(2_000));
root.setStatus({ code: SpanStatusCode.OK });
root.end(at(3_000));
await provider.shutdown();

const of = (span) => ({ trace_id: span.spanContext().traceId, span_id: span.spanContext().spanId });
console.log(JSON.stringify({ root: of(root), child: of(child) }));
