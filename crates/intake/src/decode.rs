//! Decodes request bodies into accepted records and rejections.

use crate::{
    bounds::Cut,
    config::Limits,
    enrich::{Enrichment, Replaced, SESSION_ID},
    item::{FromBrowser, Item},
    refusal::Refusal,
    stats::Rejected,
};
use throughline_otlp::{Decoded, Encoding, Reason, Rejection, decode};

/// The decoded records of a request.
#[derive(Debug)]
pub(crate) struct Batch<R> {
    pub(crate) records: Vec<R>,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) rejected: Rejected,
    pub(crate) cut: Cut,
}

/// Decodes a body of an OTLP receiver. Records are kept as sent.
pub(crate) fn trusted<R: Item>(body: &[u8], encoding: Encoding) -> Result<Batch<R>, Refusal> {
    let Decoded { mut records, mut rejections, .. } = decode::<R>(body, encoding)?;
    records.retain(|record| {
        let problem = record.problem();
        let is_valid = problem.is_none();
        rejections.extend(problem.map(|reason| Rejection::of(record, reason)));
        is_valid
    });
    let rejected = Rejected { invalid: rejections.len() as u64, ..Rejected::default() };
    Ok(Batch { records, rejections, rejected, cut: Cut::default() })
}

/// Decodes a body of the receiver for pages. Records are redacted, limited and enriched.
pub(crate) fn public<R: FromBrowser>(
    body: &[u8],
    encoding: Encoding,
    limits: &Limits,
    enrichment: &Enrichment<'_>,
) -> Result<Batch<R>, Refusal> {
    let Batch { records, mut rejections, mut rejected, mut cut } = trusted::<R>(body, encoding)?;
    let mut accepted = Vec::with_capacity(records.len().min(limits.spans_per_batch));
    let mut replaced = Replaced::default();
    for mut record in records {
        if accepted.len() >= limits.spans_per_batch {
            rejected.batch_limit += 1;
            let reason = format!("more than {} {}s in a batch", limits.spans_per_batch, R::SIGNAL.record());
            rejections.push(Rejection::of(&record, Reason::Refused(reason.into())));
        } else if !enrichment.owns(&record) {
            rejected.foreign_session += 1;
            let reason = format!("{SESSION_ID} differs from the ingest token's");
            rejections.push(Rejection::of(&record, Reason::Refused(reason.into())));
        } else {
            enrichment.apply(&mut record, limits, &mut replaced, &mut cut);
            accepted.push(record);
        }
    }
    Ok(Batch { records: accepted, rejections, rejected, cut })
}
