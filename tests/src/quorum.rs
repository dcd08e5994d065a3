//! A break-glass kit as `init` has written it, and how it gets to people.

use std::fs;
use std::path::{Path, PathBuf};

use crate::person::Person;
use crate::terminal::Answer;

/// The files of one kit in the directory where they were written.
pub struct Made {
    dir: PathBuf,
    /// What their names begin with: the cluster and the authority's number.
    stem: String,
    /// What was shown at the terminal where it was made, if it was made at one.
    pub shown: String,
}

/// What a person answers to every question of an init, a ceremony or a recertification.
pub const YES: (&str, Answer<'_>) = ("[yes/no]", Answer::Line("yes"));

impl Made {
    /// Finds the only kit in a directory.
    pub fn in_dir(dir: &Path) -> Self {
        let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let paths = entries.map(|entry| entry.expect("it can be read").path());
        let kits: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "kit"))
            .collect();
        let [kit] = kits.as_slice() else {
            panic!("not one kit: {kits:?}");
        };
        let stem = kit.file_stem().and_then(|stem| stem.to_str());
        Self {
            dir: dir.to_owned(),
            stem: stem.expect("a plain name").to_owned(),
            shown: String::new(),
        }
    }

    /// Lets all holders make a kit at `maker`'s terminal, two of them a quorum. `args` says for which cluster, where it is not
    /// that of `maker`'s kubeconfig; `secrets` is what holders type where it is not shown.
    pub fn side_by_side(
        maker: &Person,
        holders: &[&Person],
        args: &[&str],
        secrets: &[(&str, Answer<'_>)],
    ) -> Self {
        let mut words = vec!["init".to_owned(), "--threshold".into(), "2".into()];
        words.extend(args.iter().map(|&arg| arg.to_owned()));
        for person in holders {
            words.extend(["--holder".into(), person.holder()]);
            if person.identity().exists() {
                words.extend(["--identity".into(), person.named_identity()]);
            }
        }
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let rules = [&[YES], secrets].concat();
        let ended = maker.at_terminal(&words).answer(&rules).expect_ok();
        Self {
            shown: ended.shown,
            ..Self::in_dir(&maker.home())
        }
    }

    /// The kit.
    pub fn kit(&self) -> PathBuf {
        self.file("kit")
    }

    /// Its authority's certificate, PEM.
    pub fn authority(&self) -> String {
        fs::read_to_string(self.file("crt")).expect("init wrote it")
    }

    /// Somebody's share file.
    pub fn share(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.share"))
    }

    /// Gives somebody the kit, which they keep, and their share file if they are a holder.
    pub fn hand_to(&self, person: &Person) {
        let kit = person.receive(&self.kit());
        if self.share(&person.name).exists() {
            person.receive(&self.share(&person.name));
        }
        person
            .run(&["verify", &kit.display().to_string(), "--keep"])
            .expect_ok();
    }

    /// The arguments that name these holders' share files, and the files with their keys.
    pub fn shares(&self, holders: &[&Person]) -> Vec<String> {
        let mut args = Vec::new();
        for person in holders {
            args.extend(["--share".into(), self.share(&person.name).display().to_string()]);
            if person.identity().exists() {
                args.extend(["--identity".into(), person.identity().display().to_string()]);
            }
        }
        args
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.dir.join(format!("{}.{ending}", self.stem))
    }
}
