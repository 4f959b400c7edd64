use throughline_context::{SpanId, TraceId};

#[test]
fn ids_are_strings() {
    let id: SpanId = "00f067aa0ba902b7".parse().unwrap();
    assert_eq!(serde_json::to_string(&id).unwrap(), r#""00f067aa0ba902b7""#);
    assert_eq!(serde_json::from_str::<SpanId>(r#""00F067AA0BA902B7""#).unwrap(), id);
    assert!(serde_json::from_str::<SpanId>(r#""0000000000000000""#).is_err());
    assert!(serde_json::from_str::<TraceId>(r#""00f067aa0ba902b7""#).is_err());
    assert!(serde_json::from_str::<TraceId>("1").is_err());
}
