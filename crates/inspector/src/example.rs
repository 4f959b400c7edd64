//! A command that creates a trace, shown in an empty list.

/// The default address of the receiver for programs on the same machine.
pub const RECEIVER: &str = "http://127.0.0.1:4318";

/// The duration of the example's span, in nanoseconds.
const DURATION_NS: i64 = 84_000_000;

/// Returns a shell command that sends one span as OTLP/JSON to the receiver at this base URL. The span ends at `now_ns` (Unix
/// nanoseconds).
///
/// `random` becomes the trace id and the span id; a zero is replaced by one, because ids must not be zero.
#[must_use]
pub fn command(receiver: &str, now_ns: i64, random: [u64; 3]) -> String {
    let [high, low, span] = random.map(|word| word.max(1));
    let start_ns = now_ns.saturating_sub(DURATION_NS);
    format!(
        r#"curl {receiver}/v1/traces -H 'content-type: application/json' -d '{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"hello"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"{high:016x}{low:016x}","spanId":"{span:016x}","name":"first trace","kind":1,"startTimeUnixNano":"{start_ns}","endTimeUnixNano":"{now_ns}"}}]}}]}}]}}'"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_sends_one_valid_span() {
        let command = command("http://127.0.0.1:3701", 1_795_000_000_000_000_000, [0xab, 0, 0]);
        assert!(command.starts_with("curl http://127.0.0.1:3701/v1/traces "), "{command}");
        let body = command.split('\'').nth(3).unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "00000000000000ab0000000000000001");
        assert_eq!(span["spanId"], "0000000000000001");
        assert_eq!(span["startTimeUnixNano"], "1794999999916000000");
        assert_eq!(span["endTimeUnixNano"], "1795000000000000000");
    }
}
