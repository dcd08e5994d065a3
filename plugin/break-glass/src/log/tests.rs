use proptest::prelude::*;
use rand_core::OsRng;
use time::macros::datetime;

use super::*;
use crate::{
    kit::KitHash,
    name::{Name, Reason},
};

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-22 03:12:05.678 +1);

pub(crate) fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

pub(crate) fn asked() -> Asked {
    Asked {
        request: "12".repeat(32),
        kit: KitHash::try_from("ab".repeat(32)).unwrap(),
        purpose: Purpose::Certificate,
        words: "abandon ability able about above absent".into(),
        who: name("alice"),
        reason: Some(Reason::try_from("IdP down – ticket 4711".to_owned()).unwrap()),
        seconds: Some(3600),
        content: serde_json::json!({ "publicKey": "…" }),
    }
}

/// What an approver's machine writes for one certificate.
pub(crate) fn events() -> Vec<Event> {
    let request = asked().request;
    let holder = name("bob");
    vec![
        Event::Shown {
            holder: holder.clone(),
            asked: asked(),
        },
        Event::Agreed {
            request: request.clone(),
            holder: holder.clone(),
        },
        Event::Committed {
            request: request.clone(),
            holder: holder.clone(),
            commitments: "00".into(),
        },
        Event::Heard {
            from: name("alice"),
            text: "GATEPASS SIGNING".into(),
            head: Head {
                machine: "cd".repeat(16),
                entries: 4,
                hash: "ef".repeat(32),
            },
        },
        Event::Signing(Fixed {
            request: request.clone(),
            kit: asked().kit,
            not_before: Some(1_795_316_825),
            commitments: [(holder.clone(), "00".into())].into(),
        }),
        Event::Signed {
            request,
            holder,
            share: "11".into(),
        },
    ]
}

/// A log with these events, as a file.
pub(crate) fn file(events: Vec<Event>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        add(&mut bytes, event);
    }
    bytes
}

/// Appends as the plugin does: what is there is read first.
pub(crate) fn add(bytes: &mut Vec<u8>, event: Event) {
    let mut log = Log::parse(bytes).unwrap();
    let line = log.append(event, NOW, &mut OsRng);
    bytes.extend_from_slice(line.as_bytes());
    // What the next text carries is what is in the file then.
    assert_eq!(Log::parse(bytes).unwrap().head(), log.head());
}

#[test]
fn a_log_gives_back_what_was_written() {
    let bytes = file(events());
    let log = Log::parse(&bytes).unwrap();
    let read: Vec<_> = log.entries().iter().map(|entry| entry.event.clone()).collect();
    let written: Vec<_> = events().into_iter().map(Recorded::Known).collect();
    assert_eq!(read, written);
    assert_eq!(log.entries()[0].time, datetime!(2026-11-22 02:12:05 UTC));
    let head = log.head().unwrap();
    assert_eq!((head.entries, head.machine.len(), head.hash.len()), (6, 32, 64));
    assert_eq!(Log::parse(b"").unwrap().head(), None);
    let other = Log::parse(&file(events())).unwrap();
    assert_ne!(other.machine(), log.machine());
}

#[test]
fn a_line_is_as_documented() {
    let mut log = Log {
        machine: Some("cd".repeat(16)),
        ..Log::default()
    };
    let event = || Event::Closed {
        credential_id: "X509SHA256=00".into(),
    };
    let first = log.append(event(), NOW, &mut OsRng);
    let machine = "cd".repeat(16);
    assert_eq!(
        first,
        format!(
            r#"{{"seq":1,"time":"2026-11-22T02:12:05Z","machine":"{machine}","previous":null,"event":{{"kind":"closed","credentialId":"X509SHA256=00"}}}}"#
        ) + "\n"
    );
    let hash = data_encoding::HEXLOWER.encode(&sha256(&[first.trim_end().as_bytes()]));
    let second = log.append(event(), NOW, &mut OsRng);
    assert!(second.starts_with(&format!(
        r#"{{"seq":2,"time":"2026-11-22T02:12:05Z","machine":"{machine}","previous":"{hash}","event""#
    )));
    assert!(Log::parse((first + &second).as_bytes()).is_ok());
}

#[test]
fn every_kind_of_entry_is_read_again() {
    let kit = asked().kit;
    let request = asked().request;
    let holders = vec![name("alice"), name("bob")];
    let more = vec![
        Event::KitMade {
            kit,
            cluster: "production".into(),
            revision: 1,
            threshold: 2,
            holders: holders.clone(),
        },
        Event::KitConfirmed {
            kit,
            holder: name("bob"),
        },
        Event::Requested(asked()),
        Event::Declined {
            request: request.clone(),
            holder: name("bob"),
        },
        Event::Opened {
            request: request.clone(),
            credential_id: "X509SHA256=0".into(),
            not_before: 1,
            not_after: 2,
        },
        Event::Closed {
            credential_id: "X509SHA256=0".into(),
        },
        Event::Drilled {
            request: request.clone(),
            kit,
            holders: holders.clone(),
        },
        Event::Refused {
            request: None,
            why: "a \u{1e} and a \n".into(),
        },
        Event::Reshared {
            previous: kit,
            kit,
            removed: holders,
            added: vec![],
        },
        Event::Recertified { previous: kit, kit },
        Log::set_aside(b"broken", &LogError::Unreadable { after: 3 }),
    ];
    let log = Log::parse(&file(more.clone())).unwrap();
    for (entry, event) in log.entries().iter().zip(more) {
        assert_eq!(entry.event, Recorded::Known(event));
    }
}

#[test]
fn an_entry_of_a_later_version_does_not_break_the_chain() {
    let text = String::from_utf8(file(events()[..1].to_vec())).unwrap();
    let mut bytes = text
        .replace(r#""kind":"shown""#, r#""kind":"foretold""#)
        .into_bytes();
    add(&mut bytes, events().remove(1));
    let log = Log::parse(&bytes).unwrap();
    assert!(matches!(&log.entries()[0].event, Recorded::Other(value) if value["kind"] == "foretold"));
    assert!(matches!(log.entries()[1].event, Recorded::Known(_)));
}

#[test]
fn the_break_is_said_to_be_where_it_is() {
    let bytes = file(events());
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let parse = |lines: &[&[u8]]| Log::parse(&lines.concat()).unwrap_err();
    let edited = String::from_utf8(lines[2].to_vec())
        .unwrap()
        .replace("bob", "eve")
        .into_bytes();
    assert_eq!(
        parse(&[lines[0], lines[1], &edited, lines[3]]),
        LogError::Previous { entry: 4 }
    );
    assert_eq!(
        parse(&[lines[0], lines[1], lines[3]]),
        LogError::Number { after: 2, found: 4 }
    );
    assert_eq!(
        parse(&[lines[1], lines[2]]),
        LogError::Number { after: 0, found: 2 }
    );
    assert_eq!(
        parse(&[lines[0], lines[0]]),
        LogError::Number { after: 1, found: 1 }
    );
    assert_eq!(
        parse(&[lines[0], b"\n", lines[1]]),
        LogError::Unreadable { after: 1 }
    );
    assert_eq!(parse(&[lines[0], b"{}\n"]), LogError::Unreadable { after: 1 });
    // The first entry cannot be one that followed another.
    let first = String::from_utf8(lines[1].to_vec())
        .unwrap()
        .replace("\"seq\":2", "\"seq\":1");
    assert_eq!(parse(&[first.as_bytes()]), LogError::Previous { entry: 1 });
    // What stands before the break is still read.
    let (log, error) = Log::parse_before_break(&[lines[0], lines[1], &edited, lines[3]].concat());
    assert_eq!((log.entries().len(), error.is_some()), (3, true));
}

#[test]
fn an_entry_of_another_machine_is_noticed() {
    let mut bytes = file(events()[..1].to_vec());
    let mut log = Log::parse(&bytes).unwrap();
    log.machine = Some("00".repeat(16));
    bytes.extend_from_slice(log.append(events().remove(1), NOW, &mut OsRng).as_bytes());
    assert_eq!(Log::parse(&bytes).unwrap_err(), LogError::Machine { entry: 2 });
}

#[test]
fn an_endless_log_is_not_read() {
    assert_eq!(
        Log::parse(&vec![b' '; LONGEST + 1]).unwrap_err(),
        LogError::TooLong
    );
}

#[test]
fn a_write_that_stopped_anywhere_is_named_and_the_log_goes_on() {
    let before = file(events()[..2].to_vec());
    let whole = file_after(&before, events().remove(2));
    for stop in before.len() + 1..whole.len() {
        let mut bytes = whole[..stop].to_vec();
        let log = Log::parse(&bytes).unwrap();
        // Only the line feed is missing: then the entry is there.
        let is_entry = stop == whole.len() - 1;
        assert_eq!(log.entries().len(), if is_entry { 3 } else { 2 });
        let torn: Vec<_> = log.torn().iter().map(|torn| (torn.after, torn.bytes)).collect();
        let expected = if is_entry {
            vec![]
        } else {
            vec![(2, stop - before.len())]
        };
        assert_eq!(torn, expected);
        add(&mut bytes, events().remove(3));
        add(&mut bytes, events().remove(4));
        let log = Log::parse(&bytes).unwrap();
        assert_eq!(log.entries().len(), if is_entry { 5 } else { 4 });
        assert_eq!(log.torn().len(), expected.len());
    }
}

#[test]
fn writes_that_stop_one_after_the_other_are_named_too() {
    let mut bytes = file(events()[..1].to_vec());
    for stop in [10, 1, 30] {
        let whole = file_after(&bytes, events().remove(1));
        bytes = whole[..bytes.len() + stop].to_vec();
        assert_eq!(Log::parse(&bytes).unwrap().torn().len(), 1);
    }
    add(&mut bytes, events().remove(2));
    let log = Log::parse(&bytes).unwrap();
    assert_eq!((log.entries().len(), log.torn().len()), (2, 1));
    // So is one that stopped before there was any entry, and one that wrote no text.
    for torn in [&b"{\"seq\":1,"[..], &[0; 100], &[0xff, 0x1e, 0x1e]] {
        let mut bytes = torn.to_vec();
        add(&mut bytes, events().remove(0));
        assert_eq!(
            Log::parse(&bytes).unwrap().torn(),
            [Torn {
                after: 0,
                bytes: torn.len()
            }]
        );
    }
}

#[test]
fn half_a_line_is_not_removed_or_changed_without_notice() {
    let mut bytes = file(events()[..2].to_vec());
    bytes.extend_from_slice(b"{\"seq\":3,\"time");
    add(&mut bytes, events().remove(2));
    let text = String::from_utf8(bytes).unwrap();
    for changed in [
        text.replace("{\"seq\":3,\"time\u{1e}", ""),
        text.replace("{\"seq\":3,\"time\u{1e}", "{\"seq\":3,\"tame\u{1e}"),
        text.replace("{\"seq\":3,\"time\u{1e}", "\u{1e}"),
    ] {
        assert_eq!(
            Log::parse(changed.as_bytes()).unwrap_err(),
            LogError::Torn { entry: 3 }
        );
    }
    // Nor is one added, to hide something in plain sight.
    let text = String::from_utf8(file(events())).unwrap();
    let added = text.replacen("\n{", "\n{\"seq\":9\u{1e}{", 1);
    assert_eq!(
        Log::parse(added.as_bytes()).unwrap_err(),
        LogError::Torn { entry: 2 }
    );
}

/// The file as it is after one more entry.
fn file_after(bytes: &[u8], event: Event) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    add(&mut bytes, event);
    bytes
}

#[test]
fn no_changed_byte_before_the_last_line_goes_unnoticed() {
    let mut bytes = file(events()[..3].to_vec());
    bytes.extend_from_slice(b"{\"torn");
    for event in events().drain(3..) {
        add(&mut bytes, event);
    }
    let last = bytes[..bytes.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap();
    for at in 0..=last {
        for flip in [0x01, 0x20, 0x80, bytes[at] ^ b'\n', bytes[at] ^ SEPARATOR] {
            if flip != 0 {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                assert!(Log::parse(&changed).is_err(), "byte {at} ^ {flip}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_change_before_the_last_line_is_noticed(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let bytes = file(events());
        let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
        let at = at.index(last + 1);
        prop_assume!(bytes[at] != to);
        let mut changed = bytes;
        changed[at] = to;
        prop_assert!(Log::parse(&changed).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
        let _ = Log::parse(&bytes);
    }
}

#[test]
fn a_head_that_would_fill_a_log_is_not_read() {
    for (machine, hash, fits) in [(64, 64, true), (65, 64, false), (64, 65, false)] {
        let head =
            serde_json::json!({"machine": "m".repeat(machine), "entries": 1, "hash": "0".repeat(hash)});
        assert_eq!(serde_json::from_value::<Head>(head).is_ok(), fits);
    }
}
