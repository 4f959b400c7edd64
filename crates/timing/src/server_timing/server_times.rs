//! The two instants of a server, on their way to the browser.

use std::fmt;

/// The metric that carries [`ServerTimes`] in its description.
pub const METRIC: &str = "throughline";

const MAX_INSTANCE: usize = 64;
const CLIENT_SPAN_DIGITS: usize = 16;
/// As many digits as `u64::MAX` has.
const DIGITS: usize = 20;
/// Longer than any description that can be valid, unless it is full of unknown keys.
const MAX_DESC: usize = 512;

/// When a server received a request and sent the head of its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTimes {
    /// Which instance said so, that is, whose clock: `service.instance.id`, 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub instance: String,
    /// Request received, nanoseconds since the Unix epoch.
    pub received_ns: i64,
    /// Head of the response sent, likewise.
    pub sent_ns: i64,
    /// The span that the server made up for the browser to use as its own, 16 lower-case hexadecimal digits: set
    /// where the request came without a context, as a page load does.
    pub client_span: Option<String>,
}

impl ServerTimes {
    /// The metric as it stands in the header: `throughline;desc="i=…;r=…;s=…;c=…"`. An instance that is not valid
    /// is made so, and a client span that is not valid is left out: neither can break the header.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut metric = encode_instance(&self.instance);
        let client_span = self.client_span.as_deref().filter(|span| is_client_span(span.as_bytes()));
        // infallible: a `String` takes all that is written to it
        let _ = encode_times(&mut metric, self.received_ns, self.sent_ns, client_span);
        metric
    }

    /// Reads the description of a metric [`METRIC`]. Unknown keys are ignored; anything else that [`encode`]
    /// would not write is `None`: a number with a plus sign, blanks or leading zeros, a key twice, a missing one.
    ///
    /// [`encode`]: Self::encode
    #[must_use]
    pub fn parse(desc: &str) -> Option<Self> {
        if desc.len() > MAX_DESC {
            return None;
        }
        // By bytes, because the patterns of `str` would be downloaded by every page.
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

/// The beginning of [`ServerTimes::encode`], which is the same for all responses of an instance: `throughline;desc="i=…`.
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

/// What follows [`encode_instance`]: the times in Unix nanoseconds, the client's span (16 lower-case hexadecimal digits, not all of them
/// 0, which is not looked at here), and the closing quote. For those who print into a buffer of their own.
///
/// # Errors
/// Those of `out`.
pub fn encode_times(
    out: &mut impl fmt::Write,
    received_ns: i64,
    sent_ns: i64,
    client_span: Option<&str>,
) -> fmt::Result {
    // `Display` takes four times as long, and every response has two of these.
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

/// The bytes as a text, if they are of a form that is ASCII.
fn text(bytes: &[u8], is_form: fn(&[u8]) -> bool) -> Option<String> {
    // Byte by byte: what checks UTF-8 would be downloaded by every page.
    is_form(bytes).then(|| bytes.iter().copied().map(char::from).collect())
}

const fn is_instance_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

fn is_instance(text: &[u8]) -> bool {
    (1..=MAX_INSTANCE).contains(&text.len()) && text.iter().all(|byte| is_instance_byte(*byte))
}

/// Digits as in `traceparent`, and not all zero.
fn is_client_span(text: &[u8]) -> bool {
    text.len() == CLIENT_SPAN_DIGITS
        && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && text.iter().any(|byte| *byte != b'0')
}

/// An integer in the one form that is printed for it.
fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_negative = digits.len() < text.len();
    let is_canonical = match digits {
        [b'0'] => !is_negative,
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    // So many digits are no more than `u64::MAX` has: no sum of them overflows.
    if digits.len() >= DIGITS {
        return None;
    }
    let mut number = 0_u64;
    for digit in digits {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        number = number * 10 + u64::from(value);
    }
    // There is one negative number more.
    if !is_canonical || number > i64::MAX.unsigned_abs() + u64::from(is_negative) {
        return None;
    }
    Some(if is_negative { number.wrapping_neg().cast_signed() } else { number.cast_signed() })
}
