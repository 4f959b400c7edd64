//! From bytes to the spans that are taken and the reasons why others are not.

use crate::{
    bounds::Cut,
    config::Limits,
    refusal::Refusal,
    stamp::{Replaced, SESSION_ID, Stamp},
    stats::RejectedSpans,
};
use throughline_otlp::{Encoding, Reason, Rejection, Span, decode_traces};

/// What is left of a request.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) spans: Vec<Span>,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) rejected: RejectedSpans,
    pub(crate) cut: Cut,
}

/// From the trusted door: as sent.
pub(crate) fn trusted(body: &[u8], encoding: Encoding) -> Result<Taken, Refusal> {
    let decoded = decode_traces(body, encoding)?;
    let rejected = RejectedSpans { invalid: decoded.rejections.len() as u64, ..RejectedSpans::default() };
    Ok(Taken { spans: decoded.records, rejections: decoded.rejections, rejected, cut: Cut::default() })
}

/// From the public door: limited and stamped.
pub(crate) fn public(body: &[u8], encoding: Encoding, limits: &Limits, stamp: &Stamp<'_>) -> Result<Taken, Refusal> {
    let Taken { spans, mut rejections, mut rejected, mut cut } = trusted(body, encoding)?;
    let mut taken = Vec::with_capacity(spans.len().min(limits.spans_per_batch));
    let mut replaced = Replaced::default();
    for mut span in spans {
        if taken.len() >= limits.spans_per_batch {
            rejected.batch_limit += 1;
            let reason = format!("more than {} spans in a batch", limits.spans_per_batch);
            rejections.push(Rejection::of(&span, Reason::Refused(reason.into())));
        } else if !stamp.owns(&span) {
            rejected.foreign_session += 1;
            let reason = format!("{SESSION_ID} is not the ticket's");
            rejections.push(Rejection::of(&span, Reason::Refused(reason.into())));
        } else {
            stamp.apply(&mut span, &limits.span, &mut replaced, &mut cut);
            taken.push(span);
        }
    }
    Ok(Taken { spans: taken, rejections, rejected, cut })
}
