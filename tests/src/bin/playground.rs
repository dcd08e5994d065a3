//! `make playground`: the parts of the demo, left running for a person with a browser until Ctrl-C.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use e2e::http::runtime;
use e2e::machine::kubeconfig;
use e2e::parts::{self, Part, asset, binary, control_plane, variable};
use e2e::stage::{Stage, indented, say, step};
use e2e::world::Site;
use tokio::signal::unix::{SignalKind, signal};

static SITE: Site = Site::new("playground");

fn main() -> ExitCode {
    let missing = parts::missing(&[Part::ControlPlane, Part::IdentityProvider]);
    let outcome = match missing {
        Some(reason) => Err(reason.into()),
        None => playground(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "playground: {error}");
            ExitCode::FAILURE
        }
    }
}

fn playground() -> Result<(), Box<dyn Error>> {
    let dir = SITE.dir("world");
    say(
        "Gatepass to play with. Everything runs on this machine, below target/e2e/playground, until Ctrl-C.",
    )?;
    let stage = Stage::set(&dir, "playground")?;
    stage.cluster.let_group_list_pods("dev");
    step(
        5,
        "A place for what you do: a kubeconfig, settings and a PATH of their own, so that yours stay as they are",
    )?;
    let you = You::new(&dir.join("you"), &stage)?;
    // From here on a signal ends this in its order. Until now it just ended, and everything with it.
    let ended = ended()?;
    you.say_what_to_type(&stage, &dir)?;
    runtime().block_on(ended);

    say("\nEnding …")?;
    // While the identity provider still answers: what the keyring holds is worth nothing afterwards.
    you.log_out()?;
    drop(stage);
    say("Nothing is left running.")?;
    Ok(())
}

/// Completes at Ctrl-C, or when somebody else wants this to end.
fn ended() -> io::Result<impl Future<Output = ()>> {
    let _runtime = runtime().enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// The files of the person who plays.
struct You {
    dir: PathBuf,
}

impl You {
    fn new(dir: &Path, stage: &Stage) -> Result<Self, Box<dyn Error>> {
        for part in ["bin", "config/gatepass", "state"] {
            fs::create_dir_all(dir.join(part))?;
        }
        for (name, target) in [
            ("kubectl", control_plane("kubectl")),
            ("kubectl-gatepass", binary("kubectl-gatepass")),
        ] {
            symlink(std::path::absolute(target)?, dir.join("bin").join(name))?;
        }
        let you = Self { dir: dir.to_owned() };
        let entry = stage
            .cluster
            .entry("playground", &stage.issuer.url, &stage.issuer.serving_ca);
        fs::write(dir.join("kubeconfig"), format!("{:#}", kubeconfig(vec![entry])))?;
        fs::write(dir.join("env"), you.environment())?;
        fs::write(you.config_file(), you.config(stage))?;
        let browser = dir.join("bin/browser");
        fs::write(&browser, you.browser(stage)?)?;
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755))?;
        Ok(you)
    }

    fn config_file(&self) -> PathBuf {
        self.dir.join("config/gatepass/config.yaml")
    }

    /// What the person's shell reads.
    fn environment(&self) -> String {
        let dir = quote(&self.dir);
        format!(
            "export PATH={dir}/bin:\"$PATH\"\nexport KUBECONFIG={dir}/kubeconfig\n\
             export XDG_CONFIG_HOME={dir}/config XDG_STATE_HOME={dir}/state\n"
        )
    }

    fn config(&self, stage: &Stage) -> String {
        let text = |path: &Path| serde_json::Value::from(path.display().to_string());
        format!(
            "# Settings of kubectl-gatepass in the playground.\n\
             identityProviders:\n\
             - issuer: {}\n  certificateAuthority: {}\n\
             browserCommand: [{}]\n\
             # Where sessions rest: the Secret Service of your desktop. Without one, over SSH perhaps, take one of these:\n\
             # store: kernel   # the kernel's keyring, until the next boot\n\
             # store: file     # files below XDG_STATE_HOME\n\
             # Lets root use the kernel's keyring, which other containers of the same uid may share.\n\
             kernelKeyring: true\n",
            stage.idp.issuer,
            text(&stage.idp.ca_file),
            text(&self.dir.join("bin/browser")),
        )
    }

    /// A Chromium trusts exactly the provider's key, in a profile of its own; another browser warns; without a display the
    /// forms are filled in unattended. What is opened has the person's own directories again.
    fn browser(&self, stage: &Stage) -> io::Result<String> {
        let mut own = String::new();
        for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            match variable(name) {
                Some(value) => own.push_str(&format!("export {name}={}\n", quote(Path::new(&value)))),
                None => own.push_str(&format!("unset {name}\n")),
            }
        }
        let pin = fs::read_to_string(&stage.idp.pin_file)?;
        Ok(format!(
            "#!/bin/sh\n{own}\
             if [ -z \"$DISPLAY$WAYLAND_DISPLAY\" ]; then\n\
             \x20 echo 'No display: alice logs in unattended.' >&2\n\
             \x20 exec python3 {unattended} --user alice --ca {ca} \"$1\" >{log} 2>&1\n\
             fi\n\
             for browser in chromium chromium-browser google-chrome; do\n\
             \x20 if command -v \"$browser\" >/dev/null; then\n\
             \x20   # Root's Chromium starts only without its sandbox.\n\
             \x20   [ \"$(id -u)\" != 0 ] || set -- --no-sandbox \"$1\"\n\
             \x20   exec \"$browser\" --user-data-dir={profile} --no-first-run --ignore-certificate-errors-spki-list={pin} \"$@\" >{log} 2>&1\n\
             \x20 fi\n\
             done\n\
             exec xdg-open \"$1\" >{log} 2>&1\n",
            unattended = quote(&asset("idp/browser-http.py")),
            ca = quote(&stage.idp.ca_file),
            profile = quote(&self.dir.join("chromium")),
            pin = quote(Path::new(pin.trim())),
            log = quote(&self.dir.join("browser.log")),
        ))
    }

    fn say_what_to_type(&self, stage: &Stage, dir: &Path) -> io::Result<()> {
        let ca = stage.issuer.serving_ca_file();
        let typed = [
            format!(". {}", quote(&self.dir.join("env"))),
            format!(
                "kubectl-gatepass login {} --issuer-ca {}",
                stage.issuer.url,
                quote(&ca)
            ),
            "kubectl auth whoami".to_owned(),
            "kubectl get pods".to_owned(),
            "kubectl-gatepass status".to_owned(),
            "kubectl-gatepass logout".to_owned(),
        ];
        say("\nReady. In another terminal, which stays the playground's until you close it, type\n")?;
        typed.iter().try_for_each(|line| say(format!("   $ {line}")))?;
        say(format!(
            "\nThe identity provider knows user alice with password alice-pw, and user bob with password bob-pw.\n\n\
             Its certificate is signed by an authority of this run, which your browser does not know. A Chromium or Chrome\n\
             is opened with a profile of its own that trusts just this certificate. Another browser warns: go on, for it is\n\
             this machine. Without a display alice logs in unattended.\n\n\
             No Secret Service here? Settings, with what to take instead:\n   {}\n\
             The cluster's administrator:\n   kubectl --kubeconfig {}\n\
             What each part writes while you play: below\n   {}\n\n\
             Ctrl-C here ends all of it.",
            self.config_file().display(),
            stage.cluster.admin_kubeconfig().display(),
            dir.display(),
        ))
    }

    /// Forgets what the person has not: entries of a cluster that is gone would stay in their keyring.
    fn log_out(&self) -> io::Result<()> {
        if !self.dir.join("state/gatepass").exists() {
            return Ok(());
        }
        let out = Command::new("sh")
            .args(["-c", ". \"$0\" && exec kubectl-gatepass logout --all"])
            .arg(self.dir.join("env"))
            .stdin(Stdio::null())
            .output()?;
        indented(&String::from_utf8_lossy(&out.stderr))
    }
}

/// One word for a shell.
fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
