"""Sends a trace whose spans use every field, with the OpenTelemetry SDK.

Usage: send.py (http/protobuf | grpc) ENDPOINT (none | gzip). Prints the ids of the spans as JSON.
"""

import json
import sys

from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_exporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_exporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState, set_span_in_context

START_NS = 1_700_000_000_000_000_001

ATTRIBUTES = {
    "text": "grüße 🦀 <b>",
    "empty": "",
    "yes": True,
    "no": False,
    "whole": 42,
    "negative": -9007199254740991,
    "ratio": 0.5,
    "texts": ["a", "b"],
    "truths": [True, False],
    "wholes": [1, 2, 3],
    "ratios": [0.5, 1.5],
    "nothing": [],
}


def exporter(protocol, endpoint, compression):
    if protocol == "grpc":
        from grpc import Compression as GrpcCompression

        kind = GrpcCompression.Gzip if compression == "gzip" else GrpcCompression.NoCompression
        return grpc_exporter.OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=kind)
    kind = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    return http_exporter.OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", compression=kind)


def main():
    protocol, endpoint, compression = sys.argv[1:]
    provider = TracerProvider(resource=Resource({"service.name": "python-client", "wholes": [7, 8]}))
    provider.add_span_processor(BatchSpanProcessor(exporter(protocol, endpoint, compression)))
    tracer = provider.get_tracer("scope", "1.2.3", attributes={"of": "scope"})
    linked = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1), TraceState([("a", "b")]))

    root = tracer.start_span("root", kind=SpanKind.SERVER, start_time=START_NS)
    child = tracer.start_span(
        "child",
        context=set_span_in_context(root),
        kind=SpanKind.CLIENT,
        attributes=ATTRIBUTES,
        links=[Link(linked, {"why": "retry", "times": 2})],
        start_time=START_NS + 1_000,
    )
    child.set_attribute("huge", 9223372036854775807)
    child.add_event("warning", {"message": "ouch", "loud": True, "lines": [1, 2]}, timestamp=START_NS + 1_500)
    child.add_event("again", timestamp=START_NS + 1_600)
    child.set_status(Status(StatusCode.ERROR, "it broke"))
    child.end(end_time=START_NS + 2_000)
    root.set_status(Status(StatusCode.OK))
    root.end(end_time=START_NS + 3_000)
    provider.shutdown()

    of = lambda span: {"trace_id": f"{span.context.trace_id:032x}", "span_id": f"{span.context.span_id:016x}"}
    print(json.dumps({"root": of(root), "child": of(child)}))


main()
