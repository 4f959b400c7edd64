//! From bytes to the records that are taken and the reasons why others are not.

use crate::{
    bounds::Cut,
    config::Limits,
    item::{FromBrowser, Item},
    refusal::Refusal,
    enrich::{Replaced, SESSION_ID, Enrichment},
    stats::Rejected,
};
use throughline_otlp::{Decoded, Encoding, Reason, Rejection, decode};

/// What is left of a request.
#[derive(Debug)]
pub(crate) struct Taken<R> {
    pub(crate) records: Vec<R>,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) rejected: Rejected,
    pub(crate) cut: Cut,
}

/// From the OTLP receiver: as sent.
pub(crate) fn trusted<R: Item>(body: &[u8], encoding: Encoding) -> Result<Taken<R>, Refusal> {
    let Decoded { mut records, mut rejections, .. } = decode::<R>(body, encoding)?;
    records.retain(|record| {
        let problem = record.problem();
        let is_good = problem.is_none();
        rejections.extend(problem.map(|reason| Rejection::of(record, reason)));
        is_good
    });
    let rejected = Rejected { invalid: rejections.len() as u64, ..Rejected::default() };
    Ok(Taken { records, rejections, rejected, cut: Cut::default() })
}

/// From the receiver for pages: redacted, limited and enriched.
pub(crate) fn public<R: FromBrowser>(
    body: &[u8],
    encoding: Encoding,
    limits: &Limits,
    enrichment: &Enrichment<'_>,
) -> Result<Taken<R>, Refusal> {
    let Taken { records, mut rejections, mut rejected, mut cut } = trusted::<R>(body, encoding)?;
    let mut taken = Vec::with_capacity(records.len().min(limits.spans_per_batch));
    let mut replaced = Replaced::default();
    for mut record in records {
        if taken.len() >= limits.spans_per_batch {
            rejected.batch_limit += 1;
            let reason = format!("more than {} {}s in a batch", limits.spans_per_batch, R::SIGNAL.record());
            rejections.push(Rejection::of(&record, Reason::Refused(reason.into())));
        } else if !enrichment.owns(&record) {
            rejected.foreign_session += 1;
            let reason = format!("{SESSION_ID} is not the ingest token's");
            rejections.push(Rejection::of(&record, Reason::Refused(reason.into())));
        } else {
            enrichment.apply(&mut record, limits, &mut replaced, &mut cut);
            taken.push(record);
        }
    }
    Ok(Taken { records: taken, rejections, rejected, cut })
}
