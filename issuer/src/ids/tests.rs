//! Expected values were computed by another program (Python's hashlib) from the protocol's text.

use super::*;

#[test]
fn the_subject_id_is_as_documented() {
    assert_eq!(
        subject_id("https://idp.test", "subject-1"),
        "wgpt3ylysjjcwdof44ls52t7nq"
    );
}

#[test]
fn lengths_keep_fields_apart() {
    assert_eq!(
        subject_id("https://idp.tes", "tsubject-1"),
        "xtlxqnrk2kv3jmsijmssdlqiai"
    );
}

#[test]
fn login_and_session_id_are_as_documented() {
    let nonce = "n-0S6_WzA2MjZ0t1c2VyLWNvbW1pdG1lbnQtaGVyZQ";
    let login = login_id("cluster-1", "https://idp.test", "subject-1", nonce);
    assert_eq!(login, "nhrfgzxfee7glty55p4hlz7qhi");
    assert_eq!(
        session_id("wgpt3ylysjjcwdof44ls52t7nq", &login),
        "wgpt3ylysjjcwdof44ls52t7nq-nhrfgzxfee7glty55p4hlz7qhi"
    );
}
