use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicUsize, Ordering};

use gatepass_api::revocation::Target;
use tempfile::TempDir;

use super::*;
use crate::clock::rfc3339;
use crate::revocation::{Holder, Mode, SpecError};

const NOW: i64 = 1_790_000_000;
const HOUR: i64 = 3600;

/// A directory, and what follows it.
struct Followed {
    dir: TempDir,
    directory: Directory,
    revocations: Arc<Revocations>,
}

fn followed() -> Followed {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::new(dir.path().to_owned());
    let revocations = Arc::new(Revocations::new(Mode::BestEffort));
    lock(&directory.followed).begin(Arc::clone(&revocations));
    revocations.in_contact(NOW);
    Followed {
        dir,
        directory,
        revocations,
    }
}

impl Followed {
    fn look(&self) {
        lock(&self.directory.followed).look(self.dir.path()).unwrap();
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.path().join(file), text).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.dir.path().join(file)).unwrap();
    }

    /// Who of these is denied.
    fn denied(&self) -> Vec<&'static str> {
        let is_denied = |user: &&str| {
            let holder = Holder {
                user,
                uid: "",
                groups: &[],
                login: None,
            };
            self.revocations
                .ask(NOW, |view| view.denies(&holder, NOW).is_some())
                .unwrap()
        };
        ["alice", "bob", "carol"].into_iter().filter(is_denied).collect()
    }

    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != write::LOCK).collect();
        names.sort();
        names
    }
}

fn spec(target: Target, before: i64, expires: Option<i64>) -> RevocationSpec {
    RevocationSpec {
        target,
        logged_in_before: Some(rfc3339(before)),
        block_issuance: false,
        reason: None,
        expires_at: expires.map(rfc3339),
    }
}

fn user(name: &str) -> Target {
    Target::User(name.into())
}

fn yaml(name: &str, user: &str) -> String {
    format!(
        "apiVersion: gatepass.dev/v1alpha1\nkind: Revocation\nmetadata: {{name: {name}}}\nspec:\n  target: {{user: {user}}}\n  \
         loggedInBefore: 2026-11-22T02:00:00Z\n"
    )
}

#[test]
fn documents_come_change_and_go() {
    let it = followed();
    it.write("a.yaml", &yaml("a", "alice"));
    it.write("b.yml", &yaml("b", "bob"));
    it.look();
    assert_eq!(it.denied(), ["alice", "bob"]);
    // The same length, and another target.
    it.write("b.yml", &yaml("b", "eve"));
    it.look();
    assert_eq!(it.denied(), ["alice"]);
    it.remove("a.yaml");
    it.look();
    it.look();
    assert!(it.denied().is_empty());
    assert_eq!((it.revocations.len(), it.revocations.problems()), (1, 0));
}

#[test]
fn what_is_read_in_the_middle_of_a_write_is_read_again_under_the_same_stamp() {
    let it = followed();
    it.write("a.yaml", &yaml("a", "alice"));
    it.look();
    let stamp = document::stamp(&it.dir.path().join("a.yaml")).unwrap();
    it.write("a.yaml", &yaml("a", "carol"));
    // As if the file system's clock had stood still.
    let mut state = lock(&it.directory.followed);
    let now = document::stamp(&it.dir.path().join("a.yaml")).unwrap();
    assert_ne!(now, stamp);
    state.pretend_stamp("a.yaml", now);
    drop(state);
    it.look();
    assert_eq!(it.denied(), ["carol"]);
}

#[test]
fn a_file_that_is_broken_keeps_what_it_revoked_and_is_counted_until_it_is_mended() {
    let it = followed();
    let good = yaml("a", "alice");
    it.write("a.yaml", &good);
    it.look();
    for broken in [
        &good[..good.len() / 2],
        "",
        "not: [yaml",
        &good.replace("name: a", "name: b"),
        &good.replace("v1alpha1", "v2"),
        &good.replace("Revocation", "Revolution"),
        &good.replace("user: alice", "user: system:anonymous"),
        &good.replace("user: alice", "user: alice, group: dev"),
        &good.replace("user: alice", "user: alice\n  usre: bob"),
        &good.replace("  loggedInBefore: 2026-11-22T02:00:00Z\n", ""),
        &good.replace("02:00:00Z", "soon"),
        &good.replace("kind: Revocation", "kind: Revocation\nkind: Revocation"),
        &format!("{good}---\n{good}"),
        &good.replace("{user: alice}", "{user: alice, user: bob}"),
        &format!("{good}#{}", "x".repeat(64 * 1024)),
    ] {
        it.write("a.yaml", broken);
        it.look();
        assert_eq!(
            (it.denied(), it.revocations.problems()),
            (vec!["alice"], 1),
            "{broken}"
        );
    }
    it.write("a.yaml", &yaml("a", "bob"));
    it.look();
    assert_eq!((it.denied(), it.revocations.problems()), (vec!["bob"], 0));
}

#[test]
fn a_file_that_means_nothing_is_listed_with_the_reason() {
    let it = followed();
    it.write("a.yaml", &yaml("b", "alice"));
    it.write("A.yaml", &yaml("A", "alice"));
    it.write("c.yaml", "{}");
    it.write("d.yaml", &yaml("d", "alice").replace("02:00:00Z", "soon"));
    fs::create_dir(it.dir.path().join("e.yaml")).unwrap();
    it.write("f.yaml", &yaml("f", "alice"));
    let listing = it.directory.list().unwrap();
    assert_eq!(listing.documents.len(), 1);
    let faults: Vec<&Fault> = listing.faults.values().collect();
    assert!(matches!(
        faults[..],
        [
            Fault::Name,
            Fault::Name,
            Fault::Form(_),
            Fault::Spec(SpecError::Time("loggedInBefore")),
            Fault::NotAFile
        ]
    ));
    it.look();
    assert_eq!((it.denied(), it.revocations.problems()), (vec!["alice"], 5));
}

#[test]
fn a_file_that_an_editor_moves_away_for_a_moment_is_not_gone() {
    let it = followed();
    it.write("a.yaml", &yaml("a", "alice"));
    it.look();
    it.remove("a.yaml");
    it.look();
    assert_eq!(it.denied(), ["alice"]);
    it.write("a.yaml", &yaml("a", "alice"));
    it.look();
    it.remove("a.yaml");
    it.look();
    assert_eq!(it.denied(), ["alice"]);
    it.look();
    assert!(it.denied().is_empty());
}

#[test]
fn a_mounted_config_map_is_followed_through_its_links() {
    let it = followed();
    let (dir, data) = (it.dir.path(), |version: &str| it.dir.path().join(version));
    for (version, user) in [("..1", "alice"), ("..2", "bob")] {
        fs::create_dir(data(version)).unwrap();
        fs::write(data(version).join("a.yaml"), yaml("a", user)).unwrap();
    }
    symlink("..1", dir.join("..data")).unwrap();
    symlink("..data/a.yaml", dir.join("a.yaml")).unwrap();
    it.look();
    assert_eq!(it.denied(), ["alice"]);
    // What kubelet does.
    symlink("..2", dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    it.look();
    assert_eq!((it.denied(), it.revocations.problems()), (vec!["bob"], 0));
}

#[test]
fn hidden_and_foreign_files_are_ignored() {
    let it = followed();
    for file in [".a.yaml", "a.yaml.tmp", "a.txt", "a"] {
        it.write(file, &yaml("a", "alice"));
    }
    it.look();
    assert_eq!((it.denied().len(), it.revocations.problems()), (0, 0));
}

#[test]
fn two_files_of_one_name_stand_each_for_itself() {
    let it = followed();
    it.write("a.yaml", &yaml("a", "alice"));
    it.write("a.yml", &yaml("a", "alice"));
    it.look();
    it.remove("a.yml");
    it.look();
    it.look();
    assert_eq!(it.denied(), ["alice"]);
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_is_no_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not-mounted");
    let revocations = Arc::new(Revocations::new(Mode::BestEffort));
    let directory = Directory::new(path.clone());
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let clock: Clock = Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        NOW
    });
    let following = tokio::spawn({
        let (directory, revocations) = (directory.clone(), Arc::clone(&revocations));
        async move { directory.follow(&revocations, &clock).await }
    });
    let soon = Duration::from_secs(20);
    // The clock is asked when a look begins: with the second the first has ended.
    let two_looks = tokio::time::timeout(soon, async {
        while looks.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    });
    two_looks.await.unwrap();
    assert_eq!(revocations.age(NOW), None);
    let alice = spec(user("alice"), NOW, None);
    assert!(directory.put("a", &alice, Existing::Leave).await.is_err());
    fs::create_dir(&path).unwrap();
    let in_contact = tokio::time::timeout(soon, async {
        while revocations.age(NOW).is_none() {
            tokio::task::yield_now().await;
        }
    });
    in_contact.await.unwrap();
    following.abort();
}

#[tokio::test]
async fn what_is_put_is_whole_readable_and_in_force_at_once() {
    let it = followed();
    it.directory
        .put("a", &spec(user("alice"), NOW, None), Existing::Leave)
        .await
        .unwrap();
    assert_eq!(it.denied(), ["alice"]);
    assert_eq!(it.files(), ["a.json"]);
    let mode = fs::metadata(it.dir.path().join("a.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
    assert!(it.directory.remove("a").await.unwrap());
    assert!(it.denied().is_empty() && it.files().is_empty());
    assert!(!it.directory.remove("a").await.unwrap());
}

#[tokio::test]
async fn what_is_there_is_left_if_it_does_as_much_and_never_weakened() {
    let it = followed();
    let read = || it.directory.list().unwrap().documents.remove(0).spec;
    let put = async |before, expires, existing| {
        let spec = spec(user("alice"), before, expires);
        it.directory.put("a", &spec, existing).await.unwrap();
    };
    it.write("a.yaml", &yaml("a", "alice"));
    put(NOW, None, Existing::Leave).await;
    assert_eq!(
        it.files(),
        ["a.yaml"],
        "it is there already, whatever its extension"
    );
    it.write("a.yaml", "broken");
    put(NOW, Some(NOW + HOUR), Existing::Leave).await;
    assert_eq!(it.files(), ["a.json"], "what cannot be read revokes nothing");
    put(NOW + 5, Some(NOW + HOUR), Existing::Leave).await;
    assert_eq!(read(), spec(user("alice"), NOW, Some(NOW + HOUR)));
    put(NOW + 5, Some(NOW + HOUR), Existing::Replace).await;
    assert_eq!(read(), spec(user("alice"), NOW + 5, Some(NOW + HOUR)));
    put(NOW, Some(NOW + 2 * HOUR), Existing::Replace).await;
    assert_eq!(
        read(),
        spec(user("alice"), NOW + 5, Some(NOW + 2 * HOUR)),
        "the time never moves back"
    );
    put(NOW + 9, Some(NOW), Existing::Replace).await;
    assert_eq!(read(), spec(user("alice"), NOW + 9, Some(NOW + 2 * HOUR)));
    assert!(
        !it.directory
            .create("a", &spec(user("bob"), NOW, None))
            .await
            .unwrap()
    );
    assert_eq!(read().target, user("alice"));
    // A document of that name which denies somebody else is no success.
    let other = it
        .directory
        .put("a", &spec(user("bob"), NOW, None), Existing::Replace)
        .await;
    assert!(
        other
            .unwrap_err()
            .0
            .ends_with("a is there already, with another target")
    );
    assert_eq!(
        (it.denied(), it.files()),
        (vec!["alice"], vec!["a.json".to_owned()])
    );
}

#[tokio::test]
async fn a_sweep_removes_what_has_ended_then_and_not_before() {
    let it = followed();
    let session = Target::Session(format!("{}-{}", "a".repeat(26), "b".repeat(26)));
    let put = async |name: &str, spec| it.directory.put(name, &spec, Existing::Leave).await.unwrap();
    put("ends", spec(user("alice"), NOW, Some(NOW + HOUR))).await;
    put("stays", spec(user("bob"), NOW, None)).await;
    // The file is as old as this test, and what it says comes later.
    let later = NOW * 2;
    put("session", spec(session.clone(), later, None)).await;
    it.write("broken.yaml", "broken");
    assert_eq!(it.directory.sweep(NOW + HOUR - 1, HOUR).await, Ok(0));
    assert_eq!(it.denied(), ["alice", "bob"]);
    assert_eq!(it.directory.sweep(NOW + HOUR, HOUR).await, Ok(1));
    assert_eq!(it.denied(), ["bob"]);
    // One that says it is older than its file.
    put("early", spec(session, 0, None)).await;
    let made = fs::metadata(it.dir.path().join("early.json")).unwrap();
    let made = std::os::unix::fs::MetadataExt::mtime(&made);
    assert_eq!(it.directory.sweep(made + HOUR - 1, HOUR).await, Ok(0));
    assert_eq!(it.directory.sweep(made + HOUR, HOUR).await, Ok(1));
    assert_eq!(it.directory.sweep(later + HOUR - 1, HOUR).await, Ok(0));
    assert_eq!(it.directory.sweep(later + HOUR, HOUR).await, Ok(1));
    assert_eq!(it.files(), ["broken.yaml", "stays.json"]);
}

#[tokio::test]
async fn what_a_killed_writer_has_left_is_swept_and_stands_in_nobodys_way() {
    let it = followed();
    it.write(".new-0.tmp", "half");
    it.directory
        .put("a", &spec(user("alice"), NOW, None), Existing::Leave)
        .await
        .unwrap();
    assert_eq!(it.files(), [".new-0.tmp", "a.json"]);
    assert_eq!(it.directory.sweep(NOW, HOUR).await, Ok(0));
    assert_eq!(it.files(), ["a.json"]);
}

#[tokio::test(start_paused = true)]
async fn who_writes_waits_for_the_other_writer_and_not_for_ever() {
    let it = followed();
    let held = write::try_lock(it.dir.path()).unwrap().unwrap();
    let refused = it
        .directory
        .put("a", &spec(user("alice"), NOW, None), Existing::Leave)
        .await;
    assert!(refused.unwrap_err().0.contains("another process"));
    drop(held);
    it.directory
        .put("a", &spec(user("alice"), NOW, None), Existing::Leave)
        .await
        .unwrap();
}

/// Whoever was revoked would be let in by the empty directory that is left where a disk was mounted.
#[tokio::test]
async fn an_unmounted_directory_is_not_an_empty_one() {
    let it = followed();
    let alice = || spec(user("alice"), NOW, None);
    it.directory.put("a", &alice(), Existing::Leave).await.unwrap();
    it.look();
    let look = || lock(&it.directory.followed).look(it.dir.path());
    it.remove("a.json");
    lock(&it.directory.followed).pretend_device();
    for _ in 0..3 {
        assert!(look().unwrap_err().to_string().contains("unmounted"));
    }
    assert_eq!(it.denied(), ["alice"]);
    let bob = spec(user("bob"), NOW, None);
    let written = it.directory.put("b", &bob, Existing::Leave).await;
    assert!(written.is_err() && it.files().is_empty());
    // It is back: nothing was forgotten, and what is taken away is gone.
    Directory::new(it.dir.path().to_owned())
        .put("a", &alice(), Existing::Leave)
        .await
        .unwrap();
    it.look();
    it.remove("a.json");
    it.look();
    it.look();
    assert!(it.denied().is_empty());
}

/// A view that nobody keeps up looks as well as any, to whoever is not looking.
#[tokio::test(start_paused = true)]
async fn what_follows_the_store_begins_anew_when_it_panics() {
    use crate::config::StoreConfig;
    use crate::revocation::store::Store;
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::new(&StoreConfig::Directory(dir.path().to_owned())));
    let revocations = Arc::new(Revocations::new(Mode::BestEffort));
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let clock: Clock = Arc::new(move || match counted.fetch_add(1, Ordering::Relaxed) {
        1 => panic!("this is what the test is about"),
        look => NOW + i64::try_from(look).unwrap(),
    });
    let following = tokio::spawn(store.follow(Arc::clone(&revocations), clock));
    let anew = tokio::time::timeout(Duration::from_secs(600), async {
        while revocations.age(NOW + 2) != Some(0) {
            tokio::time::sleep(POLL).await;
        }
    });
    anew.await.unwrap();
    following.abort();
}
