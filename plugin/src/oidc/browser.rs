//! Opens the login page.

use std::{
    io,
    process::{Command, Stdio},
};

use url::Url;

/// Opens an https URL with the configured program, else with what the desktop prefers. The URL is one argument; no
/// shell sees it. Returns at once: that the program ends well does not mean that anybody logged in.
pub fn open(command: Option<&[String]>, url: &Url) -> io::Result<()> {
    if url.scheme() != "https" {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a login page must be https",
        ));
    }
    match command {
        Some([program, arguments @ ..]) => {
            // stdout belongs to kubectl, stdin to the person.
            let mut command = Command::new(program);
            command
                .args(arguments)
                .arg(url.as_str())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // Ctrl-C ends what kubectl runs, and not a browser that this has started.
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            command.spawn().map(drop)
        }
        _ => open::that_detached(url.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_https_reaches_a_browser() {
        let command = ["/nonexistent".to_owned()];
        for url in ["http://idp.example/", "file:///etc/passwd", "javascript:alert(1)"] {
            let error = open(Some(&command), &Url::parse(url).unwrap()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{url}");
        }
    }
}
