//! Runs kubectl, with what the person typed for it.

use std::{
    ffi::{OsStr, OsString},
    io,
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{cli::Connection, escape::Escaped};

/// Longest wait for one request of kubectl's.
pub(crate) const REQUEST_TIMEOUT: &str = "--request-timeout=15s";

/// kubectl, with what the person typed for it.
pub(crate) struct Kubectl<'a> {
    /// The program; a plain name is looked up in PATH.
    pub(crate) program: &'a OsStr,
    /// Which cluster, and as whom.
    pub(crate) connection: &'a Connection,
    /// How long to wait for it.
    pub(crate) deadline: Duration,
}

/// What kubectl gave.
pub(crate) struct Answer {
    /// Its standard output.
    pub(crate) output: Vec<u8>,
    /// What it said beside it, unescaped.
    pub(crate) said: String,
}

/// Why kubectl gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubectlError {
    /// It could not be run.
    #[error("cannot run kubectl: {0}")]
    NotRun(#[source] io::Error),
    /// It did not come back.
    #[error("kubectl gave no answer within {seconds} s")]
    Silent {
        /// How long we waited.
        seconds: u64,
    },
    /// It failed, in its own words, unescaped.
    #[error("kubectl says: {}", Escaped(.0))]
    Failed(String),
}

impl Connection {
    /// As flags. Each is one argument with its value behind `=`, so that no value can be another flag.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        let flag = |name: &str, value: &OsStr| {
            let mut flag = OsString::from(name);
            flag.push(value);
            flag
        };
        let texts = [
            ("--context=", &self.context),
            ("--cluster=", &self.cluster),
            ("--as=", &self.impersonate),
        ];
        let texts = texts
            .into_iter()
            .filter_map(|(name, value)| Some(flag(name, value.as_ref()?.as_ref())));
        let kubeconfig = self.kubeconfig.as_ref();
        let groups = self.impersonate_groups.iter();
        texts
            .chain(kubeconfig.map(|path| flag("--kubeconfig=", path.as_ref())))
            .chain(groups.map(|group| flag("--as-group=", group.as_ref())))
            .collect()
    }
}

impl Kubectl<'_> {
    /// Runs it, with `input` on its standard input.
    pub(crate) async fn run(&self, args: &[&str], input: Option<Vec<u8>>) -> Result<Answer, KubectlError> {
        let stdin = match &input {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        };
        let mut child = Command::new(self.program)
            .args(args)
            .args(self.connection.flags())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // When the deadline is over; Ctrl-C ends both, because kubectl belongs to the terminal's foreground, too.
            .kill_on_drop(true)
            .spawn()
            .map_err(KubectlError::NotRun)?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // A document is smaller than any pipe. kubectl that ended before reading it says why.
            let _ = stdin.write_all(&input).await;
        }
        let output = tokio::time::timeout(self.deadline, child.wait_with_output())
            .await
            .map_err(|_| KubectlError::Silent {
                seconds: self.deadline.as_secs(),
            })?
            .map_err(KubectlError::NotRun)?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match output.status.success() {
            true => Ok(Answer {
                output: output.stdout,
                said,
            }),
            false => Err(KubectlError::Failed(said)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_become_a_flag_of_its_own() {
        let connection = Connection {
            context: Some("--as=admin".into()),
            cluster: Some("-v9".into()),
            kubeconfig: Some("--x y".into()),
            impersonate: Some("-".into()),
            impersonate_groups: vec!["a b".into(), "--g".into()],
        };
        assert_eq!(
            connection.flags(),
            [
                "--context=--as=admin",
                "--cluster=-v9",
                "--as=-",
                "--kubeconfig=--x y",
                "--as-group=a b",
                "--as-group=--g"
            ]
        );
    }
}
