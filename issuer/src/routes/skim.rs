//! Reads a SubjectAccessReview without what it is about.
//!
//! Whoever asks an API server for something chooses how long that is: the selectors of a URL of 1 MiB come back as some
//! 16 MiB of review. Held whole, a few dozen of them at once take all the memory there is, and an issuer that is gone
//! denies nobody. So what is never read is dropped while it arrives; it is the only part that a stranger can make long.

/// Members of `spec` whose value is dropped.
const UNREAD: [&[u8]; 2] = [b"resourceAttributes", b"nonResourceAttributes"];
/// Long enough for the names above, so that others need not be kept to be told apart.
const LONGEST: usize = 32;

/// Where in a text of JSON we are. Of what is no JSON it makes something that is none either, or loses a part of it that
/// nobody would have read.
#[derive(Debug, Default)]
pub(super) struct Skimmed {
    kept: Vec<u8>,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// The last string at the depth of `spec`'s members, as it stands between its quotes.
    member: Vec<u8>,
    /// Whether a value is being dropped.
    skips: bool,
}

/// How deep the members of `spec` lie.
const MEMBERS: usize = 2;

impl Skimmed {
    /// Takes the next part.
    pub(super) fn take(&mut self, part: &[u8]) {
        for byte in part {
            self.next(*byte);
        }
    }

    /// The text without what was dropped.
    pub(super) fn into_kept(self) -> Vec<u8> {
        self.kept
    }

    fn next(&mut self, byte: u8) {
        if self.in_string {
            self.within_string(byte);
        } else {
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.member.clear();
                }
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    // The end of `spec` ends its last member, too.
                    self.skips &= self.depth >= MEMBERS;
                }
                b',' if self.depth == MEMBERS => self.skips = false,
                b':' if self.depth == MEMBERS && !self.skips && UNREAD.contains(&&*self.member) => {
                    self.kept.extend_from_slice(b":null");
                    self.skips = true;
                }
                _ => {}
            }
        }
        if !self.skips {
            self.kept.push(byte);
        }
    }

    fn within_string(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => {
                self.in_string = false;
                return;
            }
            _ => {}
        }
        if self.member.len() < LONGEST {
            self.member.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn skimmed(text: &str, at: usize) -> String {
        let mut skimmed = Skimmed::default();
        let (one, two) = text.as_bytes().split_at(at);
        skimmed.take(one);
        skimmed.take(two);
        String::from_utf8(skimmed.into_kept()).unwrap()
    }

    #[test]
    fn all_but_the_attributes_is_kept_wherever_parts_begin() {
        let evil = "\\\"},\"user\":\"root\",\\";
        let attributes = json!({
            "verb": "get", evil: evil, "user": "x", "a": [1, {"user": [evil]}], "resourceAttributes": {"b": "}"},
        });
        for spec in [
            json!({"user": "u", "resourceAttributes": attributes, "groups": [evil, "g"], "uid": evil}),
            json!({"nonResourceAttributes": attributes}),
            json!({"user": "resourceAttributes", "groups": ["resourceAttributes"], "extra": {"resourceAttributes": ["kept"]}}),
            json!({"resourceAttributes": evil, "user": "u"}),
            json!({"resourceAttributes": 7, "nonResourceAttributes": [attributes], "user": "u"}),
        ] {
            let mut review = json!({"kind": "k", "resourceAttributes": {"kept": 1}, "spec": spec, "status": {"allowed": false}});
            for text in [review.to_string(), format!("{review:#}")] {
                let mut expected = review.take();
                for unread in ["resourceAttributes", "nonResourceAttributes"] {
                    if let Some(value) = expected["spec"].get_mut(unread) {
                        *value = Value::Null;
                    }
                }
                for at in 0..=text.len() {
                    if !text.is_char_boundary(at) {
                        continue;
                    }
                    let shown = skimmed(&text, at);
                    assert_eq!(
                        serde_json::from_str::<Value>(&shown).unwrap(),
                        expected,
                        "{shown}"
                    );
                }
                review = serde_json::from_str(&text).unwrap();
            }
        }
    }
}
