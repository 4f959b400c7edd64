//! Tests of extreme settings and large spans.

use std::{sync::Arc, time::Duration};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanProcessor as _;

use crate::{
    client::{Client, TIMEOUT, names},
    delivery::{builder, end_many},
    spans::named,
};

#[test]
fn a_batch_is_sent_at_once_when_the_queue_is_full() {
    let (client, requests) = Client::new();
    let processor = builder(client).max_queue_size(4).build().unwrap();
    end_many(&processor, 0..4);
    assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), ["0", "1", "2", "3"]);

    let (client, requests) = Client::new();
    let processor = builder(client).max_queue_bytes(10_000).build().unwrap();
    (0..2).for_each(|_| processor.on_end(named(&"x".repeat(3_000))));
    assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()).len(), 2);
}

#[test]
fn a_large_span_has_its_own_batch() {
    let (client, requests) = Client::new();
    let processor = builder(client).build().unwrap();
    let large = "x".repeat(4_000_000);
    for name in ["before", &large, "after"] {
        processor.on_end(named(name));
    }
    processor.force_flush().unwrap();
    let got: Vec<_> = requests.try_iter().map(|request| names(&request)).collect();
    assert_eq!(got, [["before"], [large.as_str()], ["after"]]);
}

#[test]
fn scope_names_count_towards_the_queue_limit() {
    let (client, _requests) = Client::new();
    let gate = Arc::clone(&client.gate);
    let processor = builder(client).max_queue_bytes(10_000).build().unwrap();
    let closed = gate.lock().unwrap();
    for number in 0..3 {
        let mut span = named("short");
        span.instrumentation_scope = InstrumentationScope::builder(format!("{number:06000}")).build();
        processor.on_end(span);
    }
    assert_eq!(processor.counts().lost(), 1);
    drop(closed);
}

#[test]
fn minimum_and_maximum_settings_work() {
    let (client, requests) = Client::new();
    let processor = builder(client)
        .scheduled_delay(Duration::MAX)
        .max_export_batch_size(0)
        .max_queue_size(usize::MAX)
        .max_queue_bytes(usize::MAX)
        .build()
        .unwrap();
    end_many(&processor, 0..2);
    for name in ["0", "1"] {
        assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), [name]);
    }
    processor.shutdown_with_timeout(Duration::MAX).unwrap();

    let (client, requests) = Client::new();
    let processor = builder(client).scheduled_delay(Duration::ZERO).build().unwrap();
    processor.on_end(named("at once"));
    assert_eq!(names(&requests.recv_timeout(TIMEOUT).unwrap()), ["at once"]);

    for none in [builder(Client::new().0).max_queue_size(0), builder(Client::new().0).max_queue_bytes(0)] {
        let processor = none.build().unwrap();
        end_many(&processor, 0..2);
        assert_eq!(processor.counts().lost(), 2);
        processor.force_flush().unwrap();
        processor.shutdown().unwrap();
    }
}

#[test]
fn the_debug_output_of_a_processor_is_short() {
    let (client, _requests) = Client::new();
    let processor = builder(client).build().unwrap();
    processor.on_end(named(&"x".repeat(10_000)));
    assert_eq!(
        format!("{processor:?}"),
        "EncodingSpanProcessor { counts: Counts { exported: 0, dropped: 0, refused: 0, given_up: 0, unsent: 0 }, .. }"
    );
}
