//! A holder of a break-glass kit: somebody with a home, a keyring, a key to read a share with, and a share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use age::secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::alone::unshare;
use crate::cluster::Cluster;
use crate::machine::{Keyring, Machine, Run, kubeconfig};
use crate::plugin::{self, native_key, plugin_identity};
use crate::process::write_atomically;
use crate::talk::Party;
use crate::terminal::Terminal;

/// What somebody reads their share with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// age's own kind.
    X25519,
    /// An SSH key in a file.
    SshEd25519,
    /// The same under a passphrase.
    SshEd25519Locked(&'static str),
    /// An old SSH key.
    SshRsa,
    /// A key for the time after quantum computers, which age-plugin-pq has.
    PostQuantum,
    /// A key of a plugin that a test writes: [`crate::plugin`].
    Plugin,
    /// Nothing but a passphrase, which the person has to type.
    Passphrase,
}

/// One person, on a machine of their own.
pub struct Person {
    /// What the kit calls them.
    pub name: String,
    /// Their home, keyring and kubeconfig.
    pub machine: Machine,
    /// What a share is encrypted to.
    pub recipient: String,
    /// Whether what this person runs has no network at all, not even loopback.
    pub cut_off: bool,
}

impl Person {
    /// Somebody who keeps secrets in files, in a directory of their own below `dir`.
    pub fn new(dir: &Path, name: &str, key: Key) -> Self {
        Self::on(Machine::without_idp(&dir.join(name), None, None), name, key)
    }

    /// Somebody with a desktop's keyring.
    pub fn with_keyring(dir: &Path, name: &str, key: Key) -> Self {
        let machine = Machine::without_idp(&dir.join(name), None, Some(Keyring::Unlocked));
        Self::on(machine, name, key)
    }

    /// The person whose machine this is: one that knows an identity provider, or is shown another time.
    pub fn on(machine: Machine, name: &str, key: Key) -> Self {
        let file = machine.dir.join("home").join(IDENTITY);
        let recipient = match key {
            Key::X25519 => {
                let identity = age::x25519::Identity::generate();
                write_atomically(&file, &format!("{}\n", identity.to_string().expose_secret()));
                identity.to_public().to_string()
            }
            Key::PostQuantum => post_quantum_key(&file),
            Key::Plugin => {
                write_atomically(&file, &format!("{}\n", plugin::IDENTITY));
                plugin::RECIPIENT.to_owned()
            }
            Key::SshEd25519 => ssh_key(&file, name, "ed25519", ""),
            Key::SshEd25519Locked(passphrase) => ssh_key(&file, name, "ed25519", passphrase),
            Key::SshRsa => ssh_key(&file, name, "rsa", ""),
            Key::Passphrase => "passphrase".to_owned(),
        };
        Self {
            name: name.to_owned(),
            machine,
            recipient,
            cut_off: false,
        }
    }

    /// From now on what this person runs has no network at all, not even loopback.
    pub fn cut_off(mut self) -> Self {
        self.cut_off = true;
        self
    }

    /// How `--holder` names them.
    pub fn holder(&self) -> String {
        format!("{}={}", self.name, self.recipient)
    }

    /// Where their commands run.
    pub fn home(&self) -> PathBuf {
        self.machine.dir.join("home")
    }

    /// A file in their home.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// The file with the key to their share.
    pub fn identity(&self) -> PathBuf {
        self.file(IDENTITY)
    }

    /// How `--identity` of an init names it.
    pub fn named_identity(&self) -> String {
        format!("{}={}", self.name, self.identity().display())
    }

    /// What the key's file says: nobody else may ever see it.
    pub fn secret(&self) -> String {
        fs::read_to_string(self.identity()).expect("it was made with the person")
    }

    /// Gets a file from somebody, as by a stick or a mail, into their home under its own name.
    pub fn receive(&self, file: &Path) -> PathBuf {
        let name = file.file_name().expect("a file").to_str().expect("a plain name");
        let own = self.file(name);
        fs::copy(file, &own).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        own
    }

    /// Writes the kubeconfig for a cluster whose issuer is at `issuer`, there or not.
    pub fn uses(&self, cluster: &Cluster, issuer: &str) {
        let entry = cluster.entry("here", issuer, &cluster.ca);
        self.machine.write_kubeconfig(&kubeconfig(vec![entry]));
    }

    /// `kubectl-gatepass break-glass …` with this person's environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.machine.command("kubectl-gatepass");
        command.env("USER", &self.name).arg("break-glass").args(args);
        if !self.cut_off {
            return command;
        }
        let mut cut_off = unshare();
        cut_off
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(command.get_current_dir().expect("it was just set"));
        cut_off
    }

    /// Runs it with nothing to read.
    pub fn run(&self, args: &[&str]) -> Run {
        self.machine.run(&mut self.command(args))
    }

    /// Runs it and gives what it printed as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        self.run(args).expect_ok().json()
    }

    /// Starts it at a terminal.
    pub fn at_terminal(&self, args: &[&str]) -> Terminal {
        Terminal::start(&self.command(args))
    }

    /// Starts it where its texts are read from and written to pipes.
    pub fn talking(&self, args: &[&str]) -> Party {
        Party::start(&self.name, self.command(args))
    }

    /// Runs kubectl, and gives what it printed once it has announced the window, once.
    pub fn kubectl_through_window(&self, args: &[&str]) -> Run {
        let run = self.machine.kubectl(args).expect_ok();
        let announced = format!("as break-glass:{} until ", self.name);
        assert_eq!(run.stderr.matches("BREAK-GLASS: ").count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(&announced), "{}", run.stderr);
        run
    }

    /// A shell at a terminal, in which this person types what a page tells them.
    pub fn shell(&self) -> Terminal {
        let mut command = self.machine.command("sh");
        command.env("PS1", PROMPT).env("ENV", "").env("USER", &self.name);
        let mut shell = Terminal::start(&command);
        shell.wait_for(PROMPT);
        shell
    }
}

/// What the shell shows when it waits for a command.
pub const PROMPT: &str = "person@home$ ";

const IDENTITY: &str = "key.txt";

fn post_quantum_key(file: &Path) -> String {
    let native = file.with_extension("native");
    let recipient = native_key(&native);
    plugin_identity(&native, file);
    recipient
}

fn ssh_key(file: &Path, name: &str, kind: &str, passphrase: &str) -> String {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-C", name, "-N", passphrase]);
    if kind == "rsa" {
        // The size that nothing refuses and that takes the least time to make.
        command.args(["-b", "2048"]);
    }
    let out = command.arg("-f").arg(file).output().expect("ssh-keygen runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let public = file.with_extension("txt.pub");
    let public = fs::read_to_string(public).expect("ssh-keygen wrote it");
    // Without the comment.
    let words: Vec<_> = public.split_ascii_whitespace().take(2).collect();
    words.join(" ")
}

/// The commands that a printed page tells somebody to type, each a line that begins with `$ `; one that ends with `\` goes on.
pub fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut lines = page.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(begun) = line.strip_prefix("$ ") else {
            continue;
        };
        let mut command = begun.to_owned();
        while let Some(begun) = command.strip_suffix('\\') {
            command = format!("{begun}{}", lines.next().unwrap_or_default());
        }
        commands.push(command);
    }
    commands
}
