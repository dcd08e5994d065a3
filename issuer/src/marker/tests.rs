//! Expected values were computed by another program (Python's hmac) from the protocol's text.

use super::*;

const SESSION: &str = "wgpt3ylysjjcwdof44ls52t7nq-nhrfgzxfee7glty55p4hlz7qhi";

fn keys(keys: &[&[u8]]) -> MarkerKeys {
    MarkerKeys::new(keys.iter().map(|key| MarkerKey::new(key).unwrap()).collect()).unwrap()
}

fn marker(groups: &[&str]) -> String {
    let key: Vec<u8> = (0..32).collect();
    let identity = Identity::unchecked("idp:alice", groups, "uid");
    keys(&[&key]).make("cluster-1", &identity, SESSION, 1_790_000_000, 1_790_000_600)
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

#[test]
fn any_of_the_keys_verifies_and_only_for_the_same_cluster_name_and_groups() {
    let key: Vec<u8> = (0..32).collect();
    let text = marker(&["sre", "dev"]);
    let marker = Marker::parse(&text).unwrap();
    let verify = |keys: &MarkerKeys, cluster: &str, name: &str, groups: &[&str]| {
        keys.verify(cluster, name, groups.iter().copied(), &marker)
    };
    let ours = keys(&[&[9; 32], &key]);
    assert!(verify(&ours, "cluster-1", "idp:alice", &["dev", "sre"]));
    assert!(!verify(&ours, "cluster-2", "idp:alice", &["dev", "sre"]));
    assert!(!verify(&ours, "cluster-1", "idp:bob", &["dev", "sre"]));
    for groups in [
        &["dev"][..],
        &["dev", "sre", "ops"],
        &["dev", "sre", "sre"],
        &["devs", "re"],
    ] {
        assert!(!verify(&ours, "cluster-1", "idp:alice", groups), "{groups:?}");
    }
    assert!(!verify(
        &keys(&[&[9; 32]]),
        "cluster-1",
        "idp:alice",
        &["dev", "sre"]
    ));
    let later = Marker {
        not_after: marker.not_after + 1,
        ..marker
    };
    assert!(!ours.verify("cluster-1", "idp:alice", ["dev", "sre"].into_iter(), &later));
}
