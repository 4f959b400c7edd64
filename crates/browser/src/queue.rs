//! Finished spans that wait to be sent: bounded, with what is dropped counted.

use std::collections::VecDeque;

use crate::span::SpanData;

/// A bounded queue. The oldest spans stay; what does not fit is dropped and counted.
#[derive(Debug)]
pub(crate) struct Queue {
    spans: VecDeque<SpanData>,
    capacity: usize,
    dropped: u64,
}

impl Queue {
    pub(crate) const fn new(capacity: usize) -> Self {
        Self { spans: VecDeque::new(), capacity, dropped: 0 }
    }

    pub(crate) fn push(&mut self, span: SpanData) {
        if self.spans.len() < self.capacity {
            self.spans.push_back(span);
        } else {
            self.dropped += 1;
        }
    }

    /// Takes the oldest `limit` spans out.
    pub(crate) fn take(&mut self, limit: usize) -> Vec<SpanData> {
        self.spans.drain(..self.spans.len().min(limit)).collect()
    }

    /// Puts spans that could not be sent back at the front; what no longer fits is dropped from their end.
    pub(crate) fn put_back(&mut self, mut spans: Vec<SpanData>) {
        let room = self.capacity.saturating_sub(self.spans.len());
        if spans.len() > room {
            self.dropped += (spans.len() - room) as u64;
            spans.truncate(room);
        }
        for span in spans.into_iter().rev() {
            self.spans.push_front(span);
        }
    }

    /// Sets an attribute on those spans that lack it.
    pub(crate) fn set_missing(&mut self, key: &'static str, value: &str) {
        for span in self.spans.iter_mut().filter(|span| span.attributes.get(key).is_none()) {
            span.attributes.set(key, value.to_owned());
        }
    }

    pub(crate) fn count_dropped(&mut self, spans: usize) {
        self.dropped += spans as u64;
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many spans were lost since the page began.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use throughline_context::{SpanId, TraceFlags, TraceId};

    use super::*;
    use crate::span::{Attributes, Kind, SpanContext};

    fn span(n: u8) -> SpanData {
        SpanData {
            context: SpanContext {
                trace_id: TraceId::from_bytes([1; 16]).unwrap(),
                span_id: SpanId::from_bytes([n + 1; 8]).unwrap(),
                flags: TraceFlags::SAMPLED,
            },
            parent: None,
            name: Cow::Owned(n.to_string()),
            kind: Kind::Internal,
            start_ns: 0,
            end_ns: 1,
            attributes: Attributes::default(),
            events: Vec::new(),
            error: false,
        }
    }

    fn names(spans: &[SpanData]) -> Vec<&str> {
        spans.iter().map(|span| span.name.as_ref()).collect()
    }

    #[test]
    fn it_is_bounded_and_counts_what_it_drops() {
        let mut queue = Queue::new(3);
        for n in 0..5 {
            queue.push(span(n));
        }
        assert_eq!((queue.len(), queue.dropped()), (3, 2));
        assert_eq!(names(&queue.take(2)), ["0", "1"]);
        assert_eq!(names(&queue.take(9)), ["2"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_put_back_keeps_its_place() {
        let mut queue = Queue::new(4);
        (0..3).for_each(|n| queue.push(span(n)));
        let failed = queue.take(2);
        (3..5).for_each(|n| queue.push(span(n)));
        queue.put_back(failed);
        assert_eq!(queue.dropped(), 1);
        assert_eq!(names(&queue.take(9)), ["0", "2", "3", "4"]);
    }
}
