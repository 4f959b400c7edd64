//! Markdown tables with aligned columns.

/// Pads the cells of every table in `markdown` so that columns are aligned, numbers to the right.
pub(super) fn align(markdown: &str) -> String {
    let mut text = String::new();
    let mut table: Vec<Vec<&str>> = Vec::new();
    for line in markdown.lines() {
        if let Some(row) = cells(line) {
            table.push(row);
        } else {
            flush(&mut table, &mut text);
            text.push_str(line);
            text.push('\n');
        }
    }
    flush(&mut table, &mut text);
    text
}

fn cells(line: &str) -> Option<Vec<&str>> {
    Some(line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect())
}

fn flush(table: &mut Vec<Vec<&str>>, text: &mut String) {
    let columns = table.iter().map(Vec::len).max().unwrap_or_default();
    let cell = |row: &Vec<&str>, column: usize| row.get(column).copied().unwrap_or_default().to_owned();
    let is_rule =
        |row: &Vec<&str>| row.iter().all(|cell| !cell.is_empty() && cell.chars().all(|c| c == '-' || c == ':'));
    let right: Vec<bool> =
        (0..columns).map(|column| table.iter().any(|row| is_rule(row) && cell(row, column).ends_with(':'))).collect();
    let width = |column: usize| {
        let widths = table.iter().filter(|row| !is_rule(row)).map(|row| cell(row, column).chars().count());
        widths.max().unwrap_or_default().max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in table.iter() {
        for (column, (width, right)) in widths.iter().zip(&right).enumerate() {
            let padded = match (is_rule(row), right) {
                (true, true) => format!("{}:", "-".repeat(width - 1)),
                (true, false) => "-".repeat(*width),
                (false, true) => format!("{:>width$}", cell(row, column)),
                (false, false) => format!("{:<width$}", cell(row, column)),
            };
            text.push_str("| ");
            text.push_str(&padded);
            text.push(' ');
        }
        text.push_str("|\n");
    }
    table.clear();
}

/// Formats a number with thousands separators, `14,000`; a negative one as `−12`.
pub(super) fn thousands(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if count < 0 { format!("−{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let table = "# Title\n\n| what | bytes |\n| --- | ---: |\n| a | 1,234 |\n| longer | 7 |\n\nafter\n";
        let aligned =
            "# Title\n\n| what   | bytes |\n| ------ | ----: |\n| a      | 1,234 |\n| longer |     7 |\n\nafter\n";
        assert_eq!(align(table), aligned);
        assert_eq!(align(aligned), aligned);
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(-1_234_567), "−1,234,567");
    }
}
