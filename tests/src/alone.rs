//! A test in a network namespace of its own, where there is nothing but what it starts itself: no route, no name server, nobody.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::parts::variable;
use crate::process::{Farewell, Leashed, until};

/// Set where the test runs within.
const WITHIN: &str = "GATEPASS_E2E_ALONE";

/// Brings the loopback interface up, which is down in a new namespace, then becomes "$@". Debian has no `ip` unless asked.
const LOOPBACK: &str = r#"
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// Runs the test `name` of this file again within a namespace of its own, in a directory `dir`, and gives false when it has
/// passed there. Within, gives true, once it is sure that nothing can be reached: the test then does what it is for.
#[must_use]
pub fn alone(dir: &Path, name: &str) -> bool {
    if variable(WITHIN).is_some() {
        assert_nobody_else();
        return true;
    }
    let me = std::env::current_exe().expect("a running program has a path");
    let mut command = unshare();
    command
        .args(["python3", "-c", LOOPBACK])
        .arg(me)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(WITHIN, "1");
    let log = dir.join("within.log");
    let mut within = Leashed::spawn("the test within", &command, &log, None, Farewell::Term);
    let status = until(
        &format!("{name} has ended within (see {})", log.display()),
        Duration::from_secs(300),
        || within.ended(),
    );
    let said = fs::read_to_string(&log).expect("it was just written");
    // A name that is nobody's passes as well, and shows nothing.
    assert!(
        status.success() && said.contains("test result: ok. 1 passed"),
        "{name} failed within a namespace of its own:\n{said}"
    );
    false
}

/// Whether this process is the one within.
pub fn is_within() -> bool {
    variable(WITHIN).is_some()
}

/// `unshare` with all it needs to give a program no network at all, not even loopback.
pub fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !crate::parts::is_root() {
        // Who is not root may do so as the root of a namespace of their own.
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--");
    command
}

/// Why programs cannot be cut off here.
pub(crate) fn refused() -> Option<String> {
    let out = unshare().arg("true").output();
    match out {
        Ok(out) if out.status.success() => None,
        Ok(out) => Some(format!(
            "this machine lets nobody make a network namespace: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        )),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

fn assert_nobody_else() {
    let interfaces = fs::read_to_string("/proc/net/dev").expect("Linux has it");
    let interfaces: Vec<_> = interfaces
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .collect();
    assert_eq!(interfaces, ["lo"], "an interface beside loopback");
    let routes = fs::read_to_string("/proc/net/route").expect("Linux has it");
    assert_eq!(routes.lines().skip(1).count(), 0, "a route: {routes}");
    for address in ["192.0.2.1:443", "198.51.100.1:53", "10.0.0.1:6443"] {
        let address = address.parse().expect("an address");
        let error =
            TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable, "{address}: {error}");
    }
}
