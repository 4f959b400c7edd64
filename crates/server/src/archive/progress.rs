//! Progress bars, which are drawn only if standard error is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Creates a progress bar for `total` bytes, records or pages.
pub(super) fn bar(total: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = match unit {
        "bytes" => "{bar:40} {percent:>3} % {bytes}/{total_bytes} {bytes_per_sec} {eta}".to_owned(),
        unit => format!("{{bar:40}} {{percent:>3}} % {{human_pos}}/{{human_len}} {unit} {{eta}}"),
    };
    bar.with_style(ProgressStyle::with_template(&template).expect("the templates are valid"))
}
