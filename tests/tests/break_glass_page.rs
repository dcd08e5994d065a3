//! People who have never done it follow the printed page, and type what it says.

use e2e::cluster::Cluster;
use e2e::parts::{Part, present};
use e2e::person::{Key, PROMPT, Person, commands};
use e2e::quorum::Made;
use e2e::terminal::{Answer, Terminal};
use e2e::world::Site;

static SITE: Site = Site::new("break_glass_page");
const PARTS: &[Part] = &[Part::ControlPlane, Part::OpenSsh, Part::Terminal];

/// Where the issuer was.
const GONE: &str = "https://localhost:1";
/// Bob's, of his share file.
const PASSPHRASE: &str = "plausible dogmatic walnut";
/// Carol's, of her SSH key.
const OF_KEY: &str = "correct horse battery";

/// Three holders, and the page as it hangs on the wall.
struct Office {
    bob: Person,
    carol: Person,
    erin: Person,
    page: String,
}

impl Office {
    fn new(dir: &std::path::Path, cluster: &Cluster) -> Self {
        let bob = Person::new(dir, "bob", Key::Passphrase);
        let carol = Person::new(dir, "carol", Key::SshEd25519Locked(OF_KEY));
        let erin = Person::new(dir, "erin", Key::X25519);
        erin.uses(cluster, GONE);
        let secrets = [
            ("characters or more): ", Answer::Secret(PASSPHRASE)),
            ("the same passphrase again: ", Answer::Secret(PASSPHRASE)),
            ("passphrase of the share file: ", Answer::Secret(PASSPHRASE)),
            ("key.txt: ", Answer::Secret(OF_KEY)),
        ];
        let made = Made::side_by_side(&erin, &[&bob, &carol, &erin], &[], &secrets);
        cluster.trust_authority(&made.authority());
        cluster.bind_break_glass();
        for person in [&bob, &carol] {
            made.hand_to(person);
        }
        let page = erin.run(&["verify", "--print"]).expect_ok().stdout;
        Self {
            bob,
            carol,
            erin,
            page,
        }
    }

    /// An engineer who holds no share and has the page and the kit, and no other knowledge.
    fn newcomer(&self, dir: &std::path::Path, cluster: &Cluster) -> Person {
        let dave = Person::new(dir, "dave", Key::X25519);
        dave.uses(cluster, GONE);
        Made::in_dir(&self.erin.home()).hand_to(&dave);
        dave
    }

    /// The command of the page that has this word in it.
    fn command(&self, word: &str) -> String {
        let commands = commands(&self.page);
        let with: Vec<_> = commands
            .iter()
            .filter(|command| command.split(' ').any(|typed| typed == word))
            .collect();
        assert_eq!(with.len(), 1, "{word}: {commands:?}");
        with[0].clone()
    }

    /// The name of a holder's share file, as the page has it.
    fn share(&self, name: &str) -> &str {
        let ending = format!(".{name}.share");
        let words = self.page.split_whitespace();
        let found: Vec<_> = words.filter(|word| word.ends_with(&ending)).collect();
        let [share] = found.as_slice() else {
            panic!("{name} has not one share: {found:?}");
        };
        share
    }
}

/// Types a command and gives what is shown until the next prompt.
fn type_command(shell: &mut Terminal, command: &str) -> String {
    shell.type_line(command);
    shell.wait_for(PROMPT)
}

/// Copies the next text of this kind from the screen, as somebody does with a mouse.
fn copy(terminal: &mut Terminal, kind: &str) -> String {
    let (begin, end) = (
        format!("-----BEGIN GATEPASS {kind}-----"),
        format!("-----END GATEPASS {kind}-----"),
    );
    terminal.wait_for(&begin);
    let body = terminal.wait_for(&end);
    format!("{begin}{body}{end}\n")
}

fn is_in_as_dave(shell: &mut Terminal) {
    let shown = type_command(shell, "kubectl auth whoami");
    assert!(
        shown.contains("BREAK-GLASS: ") && shown.contains("break-glass:dave") && !shown.contains("rror"),
        "{shown}"
    );
}

fn nothing_secret(terminals: &[&Terminal], secrets: &[&str]) {
    for terminal in terminals {
        let shown = terminal.shown();
        for secret in secrets {
            assert!(!shown.contains(secret), "a secret is on the screen:\n{shown}");
        }
    }
}

#[test]
fn a_newcomer_follows_the_page_with_two_holders_at_their_side() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("together");
    let cluster = SITE.cluster();
    let office = Office::new(&dir, cluster);
    let page = &office.page;
    let long = page.lines().filter(|line| line.chars().count() > 80);
    assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(page.is_ascii(), "a printer has no other characters:\n{page}");
    let dave = office.newcomer(&dir, cluster);

    let mut shell = dave.shell();
    // 2. and 3.: the stick that each holder has brought.
    shell.type_line(&office.command("open"));
    for holder in [&office.bob, &office.carol] {
        shell.wait_for("Share file of a holder who is at this machine");
        let share = holder.file(office.share(&holder.name));
        shell.type_line(&share.display().to_string());
    }
    shell.wait_for("Share file of a holder who is at this machine");
    shell.type_line("");
    // 4.
    shell.wait_for("passphrase");
    shell.type_secret(PASSPHRASE);
    shell.wait_for("do you agree");
    shell.type_line("yes");
    shell.wait_for("file with the key");
    shell.type_line(&office.carol.identity().display().to_string());
    shell.wait_for("passphrase of ");
    shell.type_secret(OF_KEY);
    shell.wait_for("do you agree");
    shell.type_line("yes");
    // 5.
    let shown = shell.wait_for(PROMPT);
    assert!(shown.contains("The glass is broken"), "{shown}");
    assert!(!shell.shown().contains("BEGIN GATEPASS"), "{}", shell.shown());
    // 8. and 9.
    is_in_as_dave(&mut shell);
    let shown = type_command(&mut shell, &office.command("close"));
    assert!(shown.contains("is closed"), "{shown}");
    let shown = type_command(&mut shell, "kubectl auth whoami");
    assert!(
        !shown.contains("BREAK-GLASS") && !shown.contains("break-glass:dave"),
        "{shown}"
    );
    // Afterwards.
    let shown = type_command(&mut shell, &office.command("report"));
    for approved in [
        "bob approved request",
        "carol approved request",
        "THE GLASS WAS BROKEN",
    ] {
        assert!(shown.contains(approved), "{approved}: {shown}");
    }
    nothing_secret(&[&shell], &[PASSPHRASE, OF_KEY]);
}

#[test]
fn a_newcomer_and_holders_elsewhere_follow_the_page_each_at_their_own_terminal() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("elsewhere");
    let cluster = SITE.cluster();
    let office = Office::new(&dir, cluster);
    let dave = office.newcomer(&dir, cluster);

    let mut shell = dave.shell();
    shell.type_line(&office.command("open"));
    shell.wait_for("Share file of a holder who is at this machine");
    shell.type_line("");
    let request = copy(&mut shell, "REQUEST");
    let words = shell.shown();
    let words = words.lines().find_map(|line| line.trim().strip_prefix("words "));
    let words = words.expect("the six words").trim().to_owned();

    let approve = office.command("approve");
    let holders = [&office.carol, &office.bob];
    let mut desks = holders.map(|holder| {
        let mut desk = holder.shell();
        desk.type_line(&approve.replace("YOUR-SHARE-FILE", office.share(&holder.name)));
        desk.wait_for("Paste the request");
        desk.press(&request);
        // What is shown comes before any question for a secret.
        let read = desk.wait_for(&words);
        assert!(
            read.contains("IdP down, ticket 4711") && read.contains("dave"),
            "{read}"
        );
        desk
    });
    let [carol, bob] = &mut desks;
    carol.wait_for("file with the key");
    carol.type_line("key.txt");
    carol.wait_for("passphrase of ");
    carol.type_secret(OF_KEY);
    bob.wait_for("passphrase");
    bob.type_secret(PASSPHRASE);
    for desk in &mut desks {
        desk.wait_for("do you agree");
        desk.type_line("yes");
        let commitment = copy(desk, "COMMITMENT");
        shell.press(&commitment);
    }
    let signing = copy(&mut shell, "SIGNING");
    for desk in &mut desks {
        desk.press(&signing);
        let share = copy(desk, "SIGNATURE SHARE");
        desk.wait_for(PROMPT);
        shell.press(&share);
    }
    let shown = shell.wait_for(PROMPT);
    assert!(shown.contains("The glass is broken"), "{shown}");
    is_in_as_dave(&mut shell);
    let shown = type_command(&mut shell, &office.command("close"));
    assert!(shown.contains("is closed"), "{shown}");
    nothing_secret(&[&shell, &desks[0], &desks[1]], &[PASSPHRASE, OF_KEY]);
}
