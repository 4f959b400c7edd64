//! The two times of a server that are sent to the browser.

use std::fmt;

/// The metric that carries [`ServerTimes`] in its description.
pub const METRIC: &str = "throughline";

const MAX_INSTANCE: usize = 64;
const CLIENT_SPAN_DIGITS: usize = 16;
/// The number of digits of `u64::MAX`.
const DIGITS: usize = 20;
/// The maximum length of a description. Valid ones are shorter, unless they contain many unknown keys.
const MAX_DESC: usize = 512;

/// The times at which a server received a request and sent the response head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTimes {
    /// The instance whose clock was used: its `service.instance.id`, 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
    pub instance: String,
    /// The receipt of the request, in nanoseconds since the Unix epoch.
    pub received_ns: i64,
    /// The sending of the response head, in nanoseconds since the Unix epoch.
    pub sent_ns: i64,
    /// The span id that the server generated for the browser's own span, 16 lower-case hexadecimal digits. Set if the
    /// request had no trace context, such as a page load.
    pub client_span: Option<String>,
}

impl ServerTimes {
    /// Formats the metric as in the header: `throughline;desc="i=…;r=…;s=…;c=…"`. Invalid characters of the instance
    /// are replaced, and an invalid client span is omitted, so that neither can break the header.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut metric = encode_instance(&self.instance);
        let client_span = self.client_span.as_deref().filter(|span| is_client_span(span.as_bytes()));
        // infallible: writing to a `String` does not fail
        let _ = encode_times(&mut metric, self.received_ns, self.sent_ns, client_span);
        metric
    }

    /// Parses the description of a metric [`METRIC`]. Unknown keys are ignored. Returns `None` for anything else that
    /// [`encode`] would not write: a number with a plus sign, spaces or leading zeros, a duplicate or a missing key.
    ///
    /// [`encode`]: Self::encode
    #[must_use]
    pub fn parse(desc: &str) -> Option<Self> {
        if desc.len() > MAX_DESC {
            return None;
        }
        // Works on bytes, because the patterns of `str` would add to the download of every page.
        let mut values: [Option<&[u8]>; 4] = [None; 4];
        for part in desc.as_bytes().split(|byte| *byte == b';') {
            let equals = part.iter().position(|byte| *byte == b'=')?;
            let (key, value) = part.split_at_checked(equals)?;
            let [key] = key else { continue };
            let Some(place) = b"irsc".iter().position(|known| known == key) else { continue };
            if values.get_mut(place)?.replace(value.get(1..)?).is_some() {
                return None;
            }
        }
        let [instance, received, sent, client_span] = values;
        let client_span = match client_span {
            Some(span) => Some(text(span, is_client_span)?),
            None => None,
        };
        Some(Self {
            instance: text(instance?, is_instance)?,
            received_ns: number(received?)?,
            sent_ns: number(sent?)?,
            client_span,
        })
    }
}

/// Formats the start of [`ServerTimes::encode`], which is the same for all responses of an instance:
/// `throughline;desc="i=…`.
#[must_use]
pub fn encode_instance(instance: &str) -> String {
    let mut metric = String::from(METRIC);
    metric.push_str(";desc=\"i=");
    let start = metric.len();
    for char in instance.chars().take(MAX_INSTANCE) {
        metric.push(if char.is_ascii() && is_instance_byte(char as u8) { char } else { '_' });
    }
    if metric.len() == start {
        metric.push('_');
    }
    metric
}

/// Writes the part after [`encode_instance`]: the times in Unix nanoseconds, the client's span (16 lower-case
/// hexadecimal digits, not all 0, not checked here), and the closing quote. For callers with their own buffer.
///
/// # Errors
/// Returns the errors of `out`.
pub fn encode_times(
    out: &mut impl fmt::Write,
    received_ns: i64,
    sent_ns: i64,
    client_span: Option<&str>,
) -> fmt::Result {
    // `Display` takes four times as long, and every response has two of these numbers.
    let mut number = itoa::Buffer::new();
    out.write_str(";r=")?;
    out.write_str(number.format(received_ns))?;
    out.write_str(";s=")?;
    out.write_str(number.format(sent_ns))?;
    if let Some(client_span) = client_span {
        out.write_str(";c=")?;
        out.write_str(client_span)?;
    }
    out.write_char('"')
}

/// Returns the bytes as text if they have the given form, which must be ASCII.
fn text(bytes: &[u8], is_form: fn(&[u8]) -> bool) -> Option<String> {
    // Byte by byte, because UTF-8 validation would add to the download of every page.
    is_form(bytes).then(|| bytes.iter().copied().map(char::from).collect())
}

const fn is_instance_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

fn is_instance(text: &[u8]) -> bool {
    (1..=MAX_INSTANCE).contains(&text.len()) && text.iter().all(|byte| is_instance_byte(*byte))
}

/// Returns whether the text is a span id as in `traceparent`, not all zero.
fn is_client_span(text: &[u8]) -> bool {
    text.len() == CLIENT_SPAN_DIGITS
        && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && text.iter().any(|byte| *byte != b'0')
}

/// Parses an integer in canonical form.
fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_negative = digits.len() < text.len();
    let is_canonical = match digits {
        [b'0'] => !is_negative,
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    // Numbers with fewer digits than `u64::MAX` cannot overflow.
    if digits.len() >= DIGITS {
        return None;
    }
    let mut number = 0_u64;
    for digit in digits {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        number = number * 10 + u64::from(value);
    }
    // There is one more negative number than positive ones.
    if !is_canonical || number > i64::MAX.unsigned_abs() + u64::from(is_negative) {
        return None;
    }
    Some(if is_negative { number.wrapping_neg().cast_signed() } else { number.cast_signed() })
}
