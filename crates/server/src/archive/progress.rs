//! How far it is, for whoever watches: nothing is drawn where standard error is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for so many bytes, records or pages.
pub(super) fn bar(total: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = match unit {
        "bytes" => "{bar:40} {percent:>3} % {bytes}/{total_bytes} {bytes_per_sec} {eta}".to_owned(),
        unit => format!("{{bar:40}} {{percent:>3}} % {{human_pos}}/{{human_len}} {unit} {{eta}}"),
    };
    match ProgressStyle::with_template(&template) {
        Ok(style) => bar.with_style(style),
        // The plain one is as good.
        Err(_) => bar,
    }
}
