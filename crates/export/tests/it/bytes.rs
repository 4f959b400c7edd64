//! Tests that the request bodies are the same as those of `opentelemetry-proto`.

use std::{
    io::Read as _,
    sync::{Mutex, mpsc::Receiver},
    time::{Duration, UNIX_EPOCH},
};

use ::bytes::Bytes;
use flate2::read::GzDecoder;
use http::Request;
use opentelemetry::{KeyValue, trace::SpanContext};
use opentelemetry_proto::{
    tonic::{collector::trace::v1::ExportTraceServiceRequest, common::v1::InstrumentationScope},
    transform::{common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope},
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanProcessor as _},
};
use proptest::{collection::vec, prelude::*};
use prost::Message as _;
use throughline_export::{Compression, EncodingSpanProcessor};

use crate::{
    client::{Client, TIMEOUT, decoded, names},
    spans::{any_span, named},
};

fn resource() -> Resource {
    Resource::builder_empty()
        .with_schema_url([KeyValue::new("service.name", "shop"), KeyValue::new("replicas", 3)], "https://s.example/2")
        .build()
}

/// Sorts scopes and resource attributes, whose order depends on earlier batches and on a map.
fn sorted(mut request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    for of_resource in &mut request.resource_spans {
        let name = |scope: &InstrumentationScope| (scope.name.clone(), scope.version.clone());
        of_resource.scope_spans.sort_by_key(|of_scope| of_scope.scope.as_ref().map(name));
        if let Some(resource) = &mut of_resource.resource {
            resource.attributes.sort_by(|one, other| one.key.cmp(&other.key));
        }
    }
    request
}

fn expected_request(spans: Vec<SpanData>) -> ExportTraceServiceRequest {
    let resource = ResourceAttributesWithSchema::from(&resource());
    ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(spans, &resource) }
}

/// Uses one processor for all cases, so that its memory is reused.
fn posted(spans: &[SpanData]) -> Request<Bytes> {
    static ONE: Mutex<Option<(EncodingSpanProcessor, Receiver<Request<Bytes>>)>> = Mutex::new(None);
    let mut one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (processor, requests) = one.get_or_insert_with(|| {
        let (client, requests) = Client::new();
        let mut processor =
            EncodingSpanProcessor::builder().scheduled_delay(Duration::MAX).client(client).build().unwrap();
        processor.set_resource(&resource());
        (processor, requests)
    });
    spans.iter().for_each(|span| processor.on_end(span.clone()));
    processor.force_flush().unwrap();
    requests.recv_timeout(TIMEOUT).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_spans_are_encoded_like_opentelemetry_proto(spans in vec(any_span(), 1..6)) {
        let request = posted(&spans);
        let expected = expected_request(spans);
        prop_assert_eq!(request.body().len(), expected.encoded_len());
        prop_assert_eq!(sorted(decoded(&request)), sorted(expected));
    }

    #[test]
    fn a_span_has_the_same_bytes_as_in_opentelemetry_proto(span in any_span()) {
        // Without a resource, because the order of its attributes is not defined.
        let (client, requests) = Client::new();
        let processor = EncodingSpanProcessor::builder().scheduled_delay(Duration::MAX).client(client).build().unwrap();
        processor.on_end(span.clone());
        processor.force_flush().unwrap();
        let request = requests.recv_timeout(TIMEOUT).unwrap();
        let resource = ResourceAttributesWithSchema::default();
        let resource_spans = group_spans_by_resource_and_scope(vec![span], &resource);
        prop_assert_eq!(request.body(), &ExportTraceServiceRequest { resource_spans }.encode_to_vec());
    }
}

#[test]
fn times_before_1970_are_zero() {
    let mut span = named("early");
    span.start_time = UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(sorted(decoded(&posted(std::slice::from_ref(&span)))), sorted(expected_request(vec![span])));
}

#[test]
fn spans_that_are_not_sampled_are_not_posted() {
    let mut unsampled = named("unsampled");
    unsampled.span_context = SpanContext::NONE;
    let (client, requests) = Client::new();
    let processor = EncodingSpanProcessor::builder().scheduled_delay(Duration::MAX).client(client).build().unwrap();
    processor.on_end(unsampled);
    processor.on_end(named("sampled"));
    processor.force_flush().unwrap();
    assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), ["sampled"]);
    assert!(requests.try_recv().is_err());
    assert_eq!(processor.counts().lost(), 0);
}

#[test]
fn bodies_are_compressed() {
    let (client, requests) = Client::new();
    let processor = EncodingSpanProcessor::builder()
        .scheduled_delay(Duration::MAX)
        .client(client)
        .compression(Some(Compression::Gzip))
        .build()
        .unwrap();
    (0..100).for_each(|number| processor.on_end(named(&format!("span {number}"))));
    processor.force_flush().unwrap();
    let request = requests.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(request.headers()["content-encoding"], "gzip");
    let mut body = Vec::new();
    GzDecoder::new(request.body().as_ref()).read_to_end(&mut body).unwrap();
    assert!(request.body().len() < body.len() / 4);
    assert_eq!(names(&request.map(|_| body.into())).len(), 100);
}
