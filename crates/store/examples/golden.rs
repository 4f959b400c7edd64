//! Writes the golden files of the formats, `tests/golden`: `cargo run -p throughline-store --example golden`.
//!
//! The files of a released version must not change: a new version gets new files beside them.

use std::{error::Error, fs, path::Path};

use rusqlite::Connection;
use throughline_otlp::Signal;
use throughline_store::{Metrics, Outbox, SpanStore as _, Store};

#[path = "../tests/golden/others.rs"]
mod others;
#[path = "../tests/golden/spans.rs"]
mod spans;

/// The time at which all records were stored, in seconds since the Unix epoch.
const STORED_S: i64 = 1_700_000_200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    store.append(spans::spans()).await?;
    store.append_logs(others::log_records()).await?;
    for (signal, place, _) in others::PLACES {
        store.set_cursor(&others::cursor(signal), place).await?;
    }
    store.close().await;
    drop(store);
    let outbox = Outbox::open(dir.path())?;
    outbox.decide(others::decisions(), others::DECIDED_S).await?;
    for entry in others::quarantined() {
        outbox.quarantine(&others::cursor(Signal::Traces), entry).await?;
    }
    drop(outbox);
    let metrics = Metrics::open(dir.path())?;
    metrics.append(others::points()).await?;
    metrics.set_cursor(&others::cursor(Signal::Metrics), others::METRIC_PLACE).await?;
    drop(metrics);

    let traces = Connection::open(dir.path().join("traces.db"))?;
    for table in ["blocks", "logs"] {
        traces.execute(&format!("UPDATE {table} SET stored_s = ?1"), [STORED_S])?;
    }
    for (signal, _, lost) in others::PLACES {
        let cursor = others::cursor(signal);
        traces.execute("UPDATE sinks SET lost = ?2 WHERE name = ?1", (cursor.as_str(), i64::try_from(lost)?))?;
    }
    let block: Vec<u8> = traces.query_row("SELECT body FROM blocks", [], |row| row.get(0))?;
    drop(traces);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    fs::write(golden.join("block-1.bin"), block)?;
    for (name, version) in [("traces", 1), ("outbox", 2), ("metrics", 1)] {
        copy(&dir.path().join(format!("{name}.db")), &golden.join(format!("{name}-{version}.db")))?;
    }
    Ok(())
}

/// Copies a database with a small page size, so that the file is small.
fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let connection = Connection::open(from)?;
    connection.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    connection.execute_batch("PRAGMA page_size = 512; VACUUM")?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)?;
    println!("{}: {} bytes", to.display(), fs::copy(from, to)?);
    Ok(())
}
