//! Expected values were computed by another program (Python's hmac) from the protocol's text.

use super::*;

const SESSION: &str = "wgpt3ylysjjcwdof44ls52t7nq-nhrfgzxfee7glty55p4hlz7qhi";

fn marker(groups: &[&str]) -> String {
    let key: Vec<u8> = (0..32).collect();
    let identity = Identity::unchecked("idp:alice", groups, "uid");
    MarkerKey::new(&key)
        .unwrap()
        .make("cluster-1", &identity, SESSION, 1_790_000_000, 1_790_000_600)
}

#[test]
fn the_marker_is_as_documented_whatever_the_order_of_groups() {
    let expected = format!("gatepass:session:{SESSION}:1790000000:1790000600:fg3yhmpc4stcoyalirpy2tg4wm");
    assert_eq!(marker(&["sre", "dev", "Zoë"]), expected);
    assert_eq!(marker(&["dev", "Zoë", "sre"]), expected);
}

#[test]
fn a_marker_without_groups_is_as_documented() {
    assert!(marker(&[]).ends_with(":rsudo5qopehib2y4jtc5uqrfxe"));
}

#[test]
fn a_short_key_is_no_key_and_none_is_shown() {
    assert!(MarkerKey::new(&[7; 31]).is_none());
    assert_eq!(
        format!("{:?}", MarkerKey::new(&[7; 32]).unwrap()),
        "MarkerKey(..)"
    );
}
