//! Plugins of age: a real one that needs no hardware, and a script that does what a test tells it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

use crate::parts::age;
use crate::person::Person;

/// What a share is encrypted to that the script opens: Bech32 of nothing.
pub const RECIPIENT: &str = "age1fake1f3suk7";
/// The same for its owner.
pub const IDENTITY: &str = "AGE-PLUGIN-FAKE-18YX8DC";

/// The real plugin.
pub const PQ: &str = "age-plugin-pq";
/// The script.
const FAKE: &str = "age-plugin-fake";

/// Makes a post-quantum key as age itself has it, and gives its recipient.
pub fn native_key(file: &Path) -> String {
    let made = Command::new(age("age-keygen"))
        .arg("-pq")
        .arg("-o")
        .arg(file)
        .output();
    let made = made.expect("age-keygen runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = fs::read_to_string(file).expect("age-keygen wrote it");
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: "));
    recipient.expect("age-keygen says it").to_owned()
}

/// Writes the same key as age-plugin-pq takes it.
pub fn plugin_identity(native: &Path, file: &Path) {
    let made = Command::new(age(PQ))
        .args(["-identity", "-o"])
        .args([file, native])
        .output();
    let made = made.expect("age-plugin-pq runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Puts the real plugin into a person's PATH.
pub fn install_pq(person: &Person) {
    symlink(age(PQ), in_path(person, PQ)).expect("it is not there yet");
}

/// Puts the script into a person's PATH, in place of the one before. `deed` is what it does, in shell, once it has read all
/// that age says to it; then it encrypts or decrypts, in the clear.
pub fn install_fake(person: &Person, deed: &str) {
    install_fake_as(person, FAKE, deed);
}

/// The same under another plugin's name.
pub fn install_fake_as(person: &Person, program: &str, deed: &str) {
    let path = in_path(person, program);
    let text = path.with_extension("text");
    fs::write(&text, SCRIPT.replace("DEED", deed)).expect("the scratch directory is writable");
    // By another process: what this one has open for writing, what other tests start meanwhile may have open, too, and nothing
    // runs that is (ETXTBSY).
    let installed = Command::new("install")
        .args(["-m", "755"])
        .args([&text, &path])
        .status();
    assert!(installed.expect("Debian's coreutils have it").success());
}

/// The body of a stanza: base64 without padding in lines of 64, the last of which is shorter (age's specification, "ABNF
/// definition of file format").
pub fn body(text: &str) -> String {
    let base64 = BASE64_STANDARD_NO_PAD.encode(text);
    let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let mut lines: Vec<_> = lines.collect();
    if base64.len().is_multiple_of(64) {
        lines.push("".into());
    }
    lines.join("\n")
}

fn in_path(person: &Person, program: &str) -> PathBuf {
    person.machine.dir.join("bin").join(program)
}

/// The protocol is C2SP's age-plugin. The file's key stands in the stanza as it is.
const SCRIPT: &str = r#"#!/bin/sh
next() { IFS= read -r line || exit 1; }
# Sends a command and its body; leaves the reply in $reply, and the reply's body, one line, in $body.
ask() {
  printf -- '-> %s\n%s\n' "$1" "$2"
  next; reply=$line
  next; body=$line
}
# Ends with an error that concerns the only recipient or identity.
refuse() {
  ask "error ${phase%-v1} 0" "$1"
  printf -- '-> done\n\n'
  exit
}
phase=${1#--age-plugin=}
key=
while next; do
  case $line in
    '-> wrap-file-key' | '-> recipient-stanza 0 fake') next; key=$line ;;
    '-> done') next; break ;;
  esac
done
DEED
case $phase in
  recipient-v1) ask 'recipient-stanza 0 fake' "$key" ;;
  identity-v1) [ -z "$key" ] || ask 'file-key 0' "$key" ;;
esac
printf -- '-> done\n\n'
"#;
