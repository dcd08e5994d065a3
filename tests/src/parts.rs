//! Where the real parts are on this machine, and what is said when one is missing.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::alone;

/// Something that `tests/setup` installs or builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// etcd, kube-apiserver and kubectl.
    ControlPlane,
    /// kube-controller-manager, which not every collection of a control plane holds.
    Controllers,
    /// What confines a program as a container runtime does: root, and Debian's util-linux and coreutils.
    Confinement,
    /// Node with the packages of the identity provider and the browser driver.
    IdentityProvider,
    /// nanoidp, an identity provider of other habits.
    SecondIdentityProvider,
    /// gnome-keyring, D-Bus, secret-tool and keyctl.
    Keyring,
    /// Debian's Chromium.
    Chromium,
    /// Terminals: Debian's setsid.
    Terminal,
    /// The right to cut programs off from every network, and Python to bring loopback up again.
    NetworkNamespace,
    /// The right to read other programs' memory, which ours forbid to everybody but root.
    Memory,
    /// ssh-keygen.
    OpenSsh,
    /// age-keygen and age-plugin-pq.
    Age,
    /// The library that shows programs another time.
    Faketime,
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the repository")
}

/// A file below `tests/`.
pub fn asset(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Reads one variable of the environment that the tests were started with.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place where the harness reads its environment"
)]
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The current time in Unix seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place where the harness reads the clock"
)]
pub fn unix_time() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since
        .expect("the clock is past 1970")
        .as_secs()
        .try_into()
        .expect("seconds fit")
}

/// A program of the control plane. `KUBEBUILDER_ASSETS` wins over what `tests/setup` has built.
pub fn control_plane(program: &str) -> PathBuf {
    variable("KUBEBUILDER_ASSETS")
        .map_or_else(|| root().join("target/controlplane/current"), PathBuf::from)
        .join(program)
}

/// A program of age's.
pub fn age(program: &str) -> PathBuf {
    root().join("target/age").join(program)
}

/// The directory whose `node_modules` holds the identity provider's packages.
pub fn node_modules() -> PathBuf {
    root().join("target/idp")
}

/// The Python that has the second identity provider's packages.
pub fn nanoidp_python() -> PathBuf {
    root().join("target/nanoidp/bin/python3")
}

/// One of our own binaries: those that GATEPASS_BIN names, as `make demo` and `make bench` do with the shipped ones, else
/// those built beside the running test.
pub fn binary(name: &str) -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness is the edge: `make demo` and `make bench` set it"
    )]
    let shipped = std::env::var_os("GATEPASS_BIN");
    let dir = match shipped {
        Some(dir) => std::path::absolute(dir).expect("a path"),
        None => {
            let me = std::env::current_exe().expect("a running program has a path");
            let dir = me.ancestors().skip(1).find(|dir| !dir.ends_with("deps"));
            dir.expect("a binary lies in a directory").to_owned()
        }
    };
    let path = dir.join(name);
    assert!(
        path.is_file(),
        "{} is missing: build it first (`make test` does)",
        path.display()
    );
    path
}

/// A program on the `PATH` that the tests were started with.
pub fn program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&variable("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// libfaketime, as Debian installs it.
pub fn faketime() -> Option<PathBuf> {
    let dirs = std::fs::read_dir("/usr/lib").ok()?;
    dirs.flatten()
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.is_file())
}

impl Part {
    /// What is not installed.
    fn fault(self) -> Option<String> {
        let programs = |names: &[&str]| {
            names
                .iter()
                .find(|name| program(name).is_none())
                .map(|name| format!("{name} is not installed"))
        };
        match self {
            Self::ControlPlane => ["etcd", "kube-apiserver", "kubectl"]
                .map(control_plane)
                .iter()
                .find(|path| !path.is_file())
                .map(|path| format!("{} is missing", path.display())),
            Self::Controllers => {
                let path = control_plane("kube-controller-manager");
                (!path.is_file()).then(|| format!("{} is missing", path.display()))
            }
            Self::Confinement => programs(&["unshare", "setpriv", "chroot", "mount", "ldd"]),
            Self::IdentityProvider => programs(&["node", "python3"]).or_else(|| {
                let dir = node_modules().join("node_modules/oidc-provider");
                (!dir.is_dir()).then(|| format!("{} is missing", dir.display()))
            }),
            Self::SecondIdentityProvider => {
                // Copied there when all else was installed.
                let mark = root().join("target/nanoidp/installed-from.txt");
                (!mark.is_file()).then(|| format!("{} is missing", mark.display()))
            }
            Self::Keyring => programs(&[
                "gnome-keyring-daemon",
                "dbus-daemon",
                "dbus-send",
                "secret-tool",
                "keyctl",
                "script",
            ]),
            Self::Chromium => programs(&["chromium"]),
            Self::Terminal => programs(&["setsid"]),
            Self::NetworkNamespace => programs(&["unshare", "python3"]),
            Self::Memory => None,
            Self::OpenSsh => programs(&["ssh-keygen"]),
            Self::Age => ["age-keygen", "age-plugin-pq"]
                .map(age)
                .iter()
                .find(|path| !path.is_file())
                .map(|path| format!("{} is missing", path.display())),
            Self::Faketime => faketime()
                .is_none()
                .then(|| "libfaketime is not installed".to_owned()),
        }
    }

    /// What is installed, and nobody may use here.
    fn refused(self) -> Option<String> {
        match self {
            Self::Confinement => {
                (!is_root()).then(|| "only root may confine a program as a node does".to_owned())
            }
            Self::Memory => (!is_root()).then(|| "only root may read other programs' memory".to_owned()),
            Self::NetworkNamespace => alone::refused(),
            _ => None,
        }
    }
}

/// Whether this process is root's: who owns its directory in /proc.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// What is not here of `parts`, in words, and what to do about it.
pub fn missing(parts: &[Part]) -> Option<String> {
    parts.iter().find_map(|part| {
        let fault = part.fault();
        fault
            .map(|fault| format!("{fault}; `tests/setup` installs it"))
            .or_else(|| part.refused())
    })
}

/// Whether every one of `parts` is here. What is missing is said on the terminal, past the test runner's capture, so that
/// a skipped test never looks like a passed one; in CI, where `CI=true`, nothing may be missing.
pub fn present(parts: &[Part]) -> bool {
    let Some(reason) = missing(parts) else { return true };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(variable("CI").is_none(), "in CI nothing is skipped: {reason}");
    // A closed terminal is no reason to fail.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}
