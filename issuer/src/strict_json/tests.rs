use proptest::prelude::*;

use super::*;

#[test]
fn what_is_accepted_is_what_serde_json_reads() {
    for text in [
        "{}",
        r#" {"a":[1,-2,0.5,null,true,"é\u0000",{"b":{}}]} "#,
        r#"{"":18446744073709551615}"#,
    ] {
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), expected);
    }
}

#[test]
fn each_fault_has_its_name() {
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let list = |count: usize| format!("{{\"a\":[{}]}}", vec!["0"; count].join(","));
    for (text, expected) in [
        (String::new(), Some(Error::Syntax)),
        ("{\"a\":1".into(), Some(Error::Syntax)),
        ("{}x".into(), Some(Error::Syntax)),
        ("{\"a\":1e999}".into(), Some(Error::Syntax)),
        ("{\"a\":NaN}".into(), Some(Error::Syntax)),
        ("{\"a\":\"\u{1}\"}".into(), Some(Error::Syntax)),
        ("{'a':1}".into(), Some(Error::Syntax)),
        ("\u{feff}{}".into(), Some(Error::Syntax)),
        (r#"{"a":"\ud800"}"#.into(), Some(Error::Syntax)),
        ("[]".into(), Some(Error::NotAnObject)),
        ("1".into(), Some(Error::NotAnObject)),
        (r#"{"a":1,"a":1}"#.into(), Some(Error::Duplicate)),
        (r#"{"a":1,"\u0061":2}"#.into(), Some(Error::Duplicate)),
        (r#"{"x":[{"a":1,"b":2,"a":3}]}"#.into(), Some(Error::Duplicate)),
        (deep(31), None),
        (deep(32), Some(Error::TooDeep)),
        (deep(100_000), Some(Error::TooDeep)),
        (list(1000), None),
        (list(1001), Some(Error::ListTooLong)),
    ] {
        assert_eq!(
            object(text.as_bytes()).err(),
            expected,
            "{}",
            &text[..text.len().min(40)]
        );
    }
    assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(Error::Syntax));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_as_serde_json_reads_them_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(members) = object(&bytes) {
            prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), Value::Object(members));
        }
    }

    #[test]
    fn json_like_text_is_read_as_serde_json_reads_it_or_refused(text in r#"\{("[ab\\u]{0,2}":[\[\]{}0-9a",]{0,9},?){0,3}\}"#) {
        if let Ok(members) = object(text.as_bytes()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(members));
        }
    }
}
