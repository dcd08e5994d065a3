//! The page to print: what a tired person does, and where everything is.

use gatepass_break_glass::{kit::Kit, name::Name, request::shown_time};
use time::OffsetDateTime;

use super::{kits::file_name, verify::fingerprint};
use crate::escape::Escaped;

/// The page, plain text of at most 80 columns.
pub(super) fn page(kit: &Kit, now: OffsetDateTime) -> String {
    let payload = kit.payload();
    let names: Vec<_> = payload
        .holders
        .iter()
        .map(|holder| holder.name.as_str())
        .collect();
    let kit_file = file_name(kit, "kit");
    // Later shares were written with their revision, which the kit does not tell.
    let share = |name: &str| match payload.revision {
        1 => file_name(kit, &format!("{name}.share")),
        _ => file_name(kit, &format!("*{name}.share (the newest)")),
    };
    let threshold = payload.threshold;
    let minutes = payload.limits.longest_seconds / 60;
    let who = match payload.limits.openers.is_empty() {
        true => "Anybody can ask. Holders decide.".to_owned(),
        false => format!("These may ask: {}.", Name::list(&payload.limits.openers)),
    };
    let shares: String = payload
        .holders
        .iter()
        .map(|holder| {
            format!(
                "  {:<16} phone ____________________  files are ____________________\n  {:<16} {}\n",
                holder.name.as_str(),
                "",
                share(holder.name.as_str())
            )
        })
        .collect();
    let words = kit.words().to_string();
    let words: Vec<_> = words.split(' ').collect();
    let rule = "=".repeat(78);
    format!(
        "{rule}\n\
         BREAK GLASS: {cluster}\n\
         Identity provider and issuer are down, and somebody must get in.\n\
         {rule}\n\
         \n\
         {threshold} of these {count} people are needed, and nothing else but the API server. Each has a\n\
         share file, and opens it with a passphrase or with the file of a key:\n\
         \n\
         {shares}\
         \n\
         API server   {server}\n\
         This kit     {kit_file}, revision {revision}\n\
         Its words    {words}\n\
         \x20            {more_words}\n\
         Printed      {printed} UTC\n\
         \n\
         {who}\n\
         \n\
         IF YOU NEED TO GET IN\n\
         \n\
         1. Call {threshold} of the people above. Say what is broken.\n\
         2. Type, on one line, with your own reason:\n\
         \n\
         \x20  $ kubectl gatepass break-glass open --reason 'IdP down, ticket 4711'\n\
         \n\
         \x20  Add --kit FILE if it does not find {kit_file}.\n\
         \x20  Add --as NAME if people do not know you by your login name.\n\
         \x20  If it says that issuer and identity provider answer, log in as always; if\n\
         \x20  that is of no use, add --even-if-they-answer.\n\
         3. It asks for share files. Each holder at your side types the path of theirs.\n\
         \x20  When nobody else is at your side, press Enter.\n\
         4. It asks each of them for the passphrase, or for the file with their key, and\n\
         \x20  whether they agree. Let them read and type it themselves.\n\
         5. With {threshold} at your side you are in: go on with 8. Else it prints a REQUEST.\n\
         \x20  Paste it, from its BEGIN line to its END line, into any chat that the other\n\
         \x20  holders read. Nothing in it is secret.\n\
         6. Read the six words of the request to each of them BY VOICE.\n\
         7. Paste what they send back. It prints one more text: send it, too, and\n\
         \x20  paste the answers.\n\
         8. Use kubectl as always. It says BREAK-GLASS each time, for {minutes} minutes at\n\
         \x20  most. Each request may take 3 seconds while the issuer hangs.\n\
         9. When you are done:\n\
         \n\
         \x20  $ kubectl gatepass break-glass close\n\
         \n\
         IF SOMEBODY CALLS YOU, AND YOU HOLD A SHARE\n\
         \n\
         1. Do you know the voice? If not, call back by a number that you know.\n\
         2. Type:\n\
         \n\
         \x20  $ kubectl gatepass break-glass approve --share YOUR-SHARE-FILE\n\
         \n\
         \x20  and paste the REQUEST. It shows who asks, why, and six words.\n\
         3. Are these the words that you hear? If not: no. Do not agree.\n\
         4. Unlock your share: type your passphrase, or the path of the file with your\n\
         \x20  key. Then type yes, and send back the text that it prints.\n\
         5. LEAVE IT RUNNING. Paste the next text when it comes, and send back the\n\
         \x20  last one. If it ends before that, begin again with 2.\n\
         \n\
         AFTERWARDS\n\
         \n\
         Who did what, with proof:\n\
         \n\
         \x20  $ kubectl gatepass break-glass report\n\
         \n\
         Whoever runs the issuer again ends a certificate before its time with its\n\
         credential ID, which open and close print: kubectl gatepass revoke\n\
         \n\
         CA certificate (SHA-256), in the API server's client CA bundle:\n\
         {first}\n\
         {second}\n\
         {rule}\n",
        cluster = Escaped(&payload.cluster),
        count = names.len(),
        server = Escaped(&payload.server),
        revision = payload.revision,
        words = words[..6].join(" "),
        more_words = words[6..].join(" "),
        printed = shown_time(now.unix_timestamp()),
        first = &fingerprint(kit)[..32],
        second = &fingerprint(kit)[32..],
    )
}
