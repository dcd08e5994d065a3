use std::{collections::BTreeMap, path::PathBuf};

use super::*;

fn paths(vars: &[(&str, &str)]) -> Result<Paths, PathsError> {
    let vars: BTreeMap<_, _> = vars.iter().copied().collect();
    Paths::from_env(|name| vars.get(name).map(PathBuf::from))
}

#[test]
fn home_is_the_default() {
    let paths = paths(&[("HOME", "/home/alice")]).unwrap();
    assert_eq!(
        paths.config_file(),
        PathBuf::from("/home/alice/.config/gatepass/config.yaml")
    );
    assert_eq!(
        paths.state_dir(),
        PathBuf::from("/home/alice/.local/state/gatepass")
    );
}

#[test]
fn xdg_values_win_and_need_no_home() {
    let paths = paths(&[("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s")]).unwrap();
    assert_eq!(paths.config_file(), PathBuf::from("/c/gatepass/config.yaml"));
    assert_eq!(paths.lock_dir(), PathBuf::from("/s/gatepass/locks"));
}

#[test]
fn relative_values_are_ignored() {
    let found = paths(&[
        ("HOME", "/home/alice"),
        ("XDG_STATE_HOME", "state"),
        ("XDG_CONFIG_HOME", ""),
    ])
    .unwrap();
    assert_eq!(found, paths(&[("HOME", "/home/alice")]).unwrap());
    assert!(matches!(
        paths(&[("HOME", "alice")]),
        Err(PathsError::NoHome { variable: "HOME" })
    ));
}

#[cfg(unix)]
mod private_dir {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::*;

    #[test]
    fn is_made_for_its_owner_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("a/b");
        create_private_dir(&dir).unwrap();
        create_private_dir(&dir).unwrap();
        for made in [dir.as_path(), dir.parent().unwrap()] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn that_others_can_change_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let open = tmp.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(
            create_private_dir(&open),
            Err(PathsError::Untrusted { .. })
        ));
        let link = tmp.path().join("link");
        symlink(tmp.path(), &link).unwrap();
        assert!(matches!(
            create_private_dir(&link),
            Err(PathsError::Untrusted { .. })
        ));
    }
}
