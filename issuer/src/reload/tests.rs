//! One look after another at real files that change in between.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};
use crate::init;

const NOW: i64 = 1_790_000_000;
const DAY: i64 = 24 * 3600;

struct Fixture {
    dir: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    reloader: Reloader,
}

fn write_init(dir: &Path) {
    let dir = dir.to_str().unwrap();
    let arguments = ["gatepass-issuer", "init", "--cluster", "c", "--dir", dir];
    let idp = ["--idp", "https://idp.test", "--client-id", "gatepass"];
    let claim = ["--username-claim", "sub"];
    let all = [&arguments[..], &idp, &claim].concat();
    let Command::Init(options) = Cli::parse_from(all).command else {
        panic!()
    };
    init::init(&options, NOW, &aws_lc_rs::rand::SystemRandom::new()).unwrap();
}

impl Fixture {
    fn new() -> Self {
        drop(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default());
        let dir = tempfile::tempdir().unwrap();
        write_init(dir.path());
        Self::of(dir, "issuer.yaml")
    }

    fn of(dir: tempfile::TempDir, file: &str) -> Self {
        let path = dir.path().join(file);
        let look = Config::look(&path, NOW);
        let config = look.outcome.unwrap();
        let clock = Arc::new(AtomicI64::new(NOW));
        let now = Arc::clone(&clock);
        let keys = Arc::new(KeySources::new(&config.issuer.idps).unwrap());
        let reloader = Reloader::new(Running {
            path,
            clock: Arc::new(move || now.load(Ordering::Relaxed)),
            fixed: config.fixed,
            serving: vec![config.serving],
            webhook_tls: None,
            contents: look.contents,
            current: Arc::new(ArcSwap::from_pointee(Active {
                issuer: Arc::new(config.issuer),
                keys,
                webhook_clients: config.webhooks.map(|webhooks| webhooks.names).unwrap_or_default(),
                detection: Arc::new(config.detection),
            })),
            tls: Arc::new(ArcSwap::new(config.tls)),
            status: Arc::new(ArcSwap::from_pointee(ConfigurationStatus {
                loaded_at: NOW,
                problems: 0,
                needs_restart: Vec::new(),
            })),
        });
        Self { dir, clock, reloader }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn replace(&self, old: &str, new: &str) {
        let path = self.path("issuer.yaml");
        let yaml = std::fs::read_to_string(&path).unwrap();
        assert!(yaml.contains(old), "{old:?} is in the file");
        std::fs::write(path, yaml.replacen(old, new, 1)).unwrap();
    }

    /// Files of another `init`: keys and certificates of their own.
    fn other_files(&self) -> tempfile::TempDir {
        let other = tempfile::tempdir().unwrap();
        write_init(other.path());
        other
    }

    fn take(&self, other: &tempfile::TempDir, name: &str) {
        std::fs::copy(other.path().join(name), self.path(name)).unwrap();
    }

    /// Looks until nothing is half-way.
    async fn settle(&mut self) {
        while self.reloader.look(false).await == SETTLE {}
    }

    fn ttl(&self) -> u64 {
        let active = self.reloader.running.current.load();
        active.issuer.lifetimes.certificate.as_secs()
    }

    fn status(&self) -> ConfigurationStatus {
        ConfigurationStatus::clone(&self.reloader.running.status.load())
    }
}

#[tokio::test]
async fn a_change_takes_effect_when_two_looks_have_seen_the_same() {
    let mut fixture = Fixture::new();
    fixture.clock.store(NOW + 5, Ordering::Relaxed);
    fixture.replace("ttl: 10m", "ttl: 5m");
    assert_eq!((fixture.reloader.look(false).await, fixture.ttl()), (SETTLE, 600));
    fixture.replace("ttl: 5m", "ttl: 4m");
    assert_eq!((fixture.reloader.look(false).await, fixture.ttl()), (SETTLE, 600));
    assert_eq!((fixture.reloader.look(false).await, fixture.ttl()), (POLL, 240));
    assert_eq!(fixture.status().loaded_at, NOW + 5);
}

#[tokio::test]
async fn a_change_takes_effect_at_once_when_somebody_says_that_they_are_done() {
    let mut fixture = Fixture::new();
    fixture.replace("ttl: 10m", "ttl: 5m");
    assert_eq!((fixture.reloader.look(true).await, fixture.ttl()), (POLL, 300));
}

#[tokio::test]
async fn nothing_is_replaced_where_nothing_changed() {
    let mut fixture = Fixture::new();
    let before = fixture.reloader.running.current.load_full();
    for asked in [false, true] {
        // As an editor does that saves the same text.
        fixture.replace("ttl: 10m", "ttl: 10m");
        assert_eq!(fixture.reloader.look(asked).await, POLL);
    }
    assert!(Arc::ptr_eq(&before, &fixture.reloader.running.current.load()));
}

#[tokio::test]
async fn what_does_not_load_is_refused_whole_and_healed_by_the_next_change() {
    let mut fixture = Fixture::new();
    fixture.replace("ttl: 10m", "ttl: 5m");
    fixture.replace("maxAge: 12h", "maxAge: never");
    fixture.replace("minVersion: \"1.3\"", "minVersion: \"1.1\"");
    fixture.settle().await;
    assert_eq!((fixture.ttl(), fixture.status().problems), (600, 2));
    fixture.replace("maxAge: never", "maxAge: 1h");
    fixture.replace("minVersion: \"1.1\"", "minVersion: \"1.2\"");
    fixture.settle().await;
    assert_eq!((fixture.ttl(), fixture.status().problems), (300, 0));
}

#[tokio::test]
async fn a_refusal_is_forgotten_when_the_old_content_comes_back() {
    let mut fixture = Fixture::new();
    fixture.replace("ttl: 10m", "ttl: 2h");
    fixture.settle().await;
    assert_eq!(fixture.status().problems, 1);
    fixture.replace("ttl: 2h", "ttl: 10m");
    fixture.settle().await;
    assert_eq!(fixture.status().problems, 0);
}

#[tokio::test]
async fn a_refusal_is_said_once_for_each_content_and_to_everybody_who_asks() {
    let mut fixture = Fixture::new();
    fixture.replace("ttl: 10m", "ttl: 2h");
    let watch = &mut fixture.reloader.watch;
    let look = |asked: bool, watch: &mut Watch, path: &Path| {
        let look = Config::look(path, NOW);
        watch.step(look.contents, look.outcome.map(Some), asked)
    };
    let path = fixture.dir.path().join("issuer.yaml");
    assert!(matches!(look(false, watch, &path), Step::LookAgain));
    assert!(matches!(look(false, watch, &path), Step::Refuse(_)));
    assert!(matches!(look(false, watch, &path), Step::StillRefused));
    assert!(matches!(look(true, watch, &path), Step::Refuse(_)));
    std::fs::write(&path, "kind: nonsense").unwrap();
    assert!(matches!(look(false, watch, &path), Step::LookAgain));
    assert!(matches!(look(false, watch, &path), Step::Refuse(_)));
}

#[tokio::test]
async fn keys_of_a_new_provider_are_fetched_before_anybody_needs_them() {
    let provider = crate::key_source::tests::Provider::start().await;
    let mut fixture = Fixture::new();
    let ca: String = provider
        .ca
        .lines()
        .map(|line| format!("\n        {line}"))
        .collect();
    let url = provider.idp.issuer();
    fixture.replace(
        "\"https://idp.test\"",
        &format!("{url}\n      certificateAuthority: |{ca}"),
    );
    assert_eq!(fixture.reloader.look(true).await, POLL);
    let keys = Arc::clone(&fixture.reloader.running.current.load().keys);
    let known = async {
        while !keys.without_keys().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), known).await;
    assert!(in_time.is_ok() && fixture.status().problems == 0);
}

#[tokio::test]
async fn half_a_pair_is_refused_and_the_whole_one_taken() {
    for (first, second) in [("serving.crt", "serving.key"), ("ca.key", "ca.crt")] {
        let mut fixture = Fixture::new();
        let (before, other) = (
            fixture.reloader.running.current.load_full(),
            fixture.other_files(),
        );
        let tls = fixture.reloader.running.tls.load_full();
        fixture.take(&other, first);
        fixture.settle().await;
        assert_eq!(fixture.status().problems, 1, "{first}");
        assert!(Arc::ptr_eq(&before, &fixture.reloader.running.current.load()));
        assert!(Arc::ptr_eq(&tls, &fixture.reloader.running.tls.load()));
        fixture.take(&other, second);
        fixture.settle().await;
        assert_eq!(fixture.status().problems, 0);
        assert!(!Arc::ptr_eq(&before, &fixture.reloader.running.current.load()));
        assert!(!Arc::ptr_eq(&tls, &fixture.reloader.running.tls.load()));
    }
}

#[tokio::test]
async fn a_new_marker_key_is_taken_and_a_cut_one_refused() {
    let mut fixture = Fixture::new();
    let before = fixture.reloader.running.current.load_full();
    std::fs::write(fixture.path("marker.key"), "c2hvcnQ=\n").unwrap();
    fixture.settle().await;
    assert_eq!(fixture.status().problems, 1);
    assert!(Arc::ptr_eq(&before, &fixture.reloader.running.current.load()));
    let other = fixture.other_files();
    fixture.take(&other, "marker.key");
    fixture.settle().await;
    assert_eq!(fixture.status().problems, 0);
    assert!(!Arc::ptr_eq(&before, &fixture.reloader.running.current.load()));
}

#[tokio::test]
async fn another_clusters_configuration_is_refused_whole_even_when_asked_for() {
    let mut fixture = Fixture::new();
    let id = fixture.reloader.running.current.load().issuer.cluster.id.clone();
    fixture.replace(&id, "another");
    fixture.replace("ttl: 10m", "ttl: 5m");
    assert_eq!((fixture.reloader.look(true).await, fixture.ttl()), (POLL, 600));
    assert_eq!(fixture.status().problems, 1);
    assert_eq!(fixture.reloader.running.current.load().issuer.cluster.id, id);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_takes_effect() {
    let mut fixture = Fixture::new();
    fixture.replace("ttl: 10m", "ttl: 5m");
    fixture.replace("127.0.0.1:8443", "127.0.0.1:8444");
    fixture.replace("127.0.0.1:8081", "127.0.0.1:8082");
    fixture.replace("file: \"-\"", "file: audit.jsonl");
    let limits = "limits: {maxConnections: 7}\napiVersion:";
    fixture.replace("apiVersion:", limits);
    fixture.settle().await;
    assert_eq!(fixture.ttl(), 300);
    let all = ["listen.address", "listen.healthAddress", "audit.file", "limits"];
    assert_eq!(fixture.status().needs_restart, all);
    fixture.replace(limits, "limits: {bodyTimeout: 3s}\napiVersion:");
    fixture.replace("127.0.0.1:8444", "127.0.0.1:8443");
    fixture.settle().await;
    assert_eq!(
        fixture.status().needs_restart,
        ["listen.healthAddress", "audit.file", "limits"]
    );
}

#[tokio::test]
async fn a_certificate_that_ends_while_it_is_served_is_named_and_goes_on() {
    let mut fixture = Fixture::new();
    let tls = fixture.reloader.running.tls.load_full();
    fixture.clock.store(NOW + 398 * DAY, Ordering::Relaxed);
    fixture.settle().await;
    assert_eq!(fixture.status().problems, 1);
    assert!(Arc::ptr_eq(&tls, &fixture.reloader.running.tls.load()));
}

#[tokio::test]
async fn the_serving_certificates_last_tenth_is_warned_about_until_it_is_replaced() {
    let mut fixture = Fixture::new();
    fixture.clock.store(NOW + 350 * DAY, Ordering::Relaxed);
    fixture.settle().await;
    assert!(!fixture.reloader.warned);
    fixture.clock.store(NOW + 360 * DAY, Ordering::Relaxed);
    fixture.settle().await;
    assert!(fixture.reloader.warned);
}

/// Kubernetes: files are links through `..data`, which is moved to a new directory; what is in it may be older.
#[tokio::test]
async fn a_mounted_volume_that_is_swapped_under_its_links_is_noticed() {
    use std::os::unix::fs::symlink;
    let (dir, version) = (tempfile::tempdir().unwrap(), |dir: &Path, n: u8| {
        dir.join(format!("..{n}"))
    });
    for n in [1, 2] {
        let volume = version(dir.path(), n);
        std::fs::create_dir(&volume).unwrap();
        write_init(&volume);
    }
    // One cluster, two certificate authorities.
    let [old, new] = [1, 2].map(|n| version(dir.path(), n).join("issuer.yaml"));
    std::fs::copy(old, new).unwrap();
    symlink("..1", dir.path().join("..data")).unwrap();
    for entry in std::fs::read_dir(version(dir.path(), 1)).unwrap() {
        let name = entry.unwrap().file_name();
        symlink(Path::new("..data").join(&name), dir.path().join(&name)).unwrap();
    }
    let mut fixture = Fixture::of(dir, "issuer.yaml");
    let before = fixture.reloader.running.current.load_full();
    symlink("..2", fixture.path("..data_tmp")).unwrap();
    std::fs::rename(fixture.path("..data_tmp"), fixture.path("..data")).unwrap();
    fixture.settle().await;
    assert!(!Arc::ptr_eq(&before, &fixture.reloader.running.current.load()));
    assert_eq!(fixture.status().problems, 0);
}

#[tokio::test]
async fn what_is_expected_of_certificates_and_who_is_told_take_effect() {
    let mut fixture = Fixture::new();
    let detection = |fixture: &Fixture| Arc::clone(&fixture.reloader.running.current.load().detection);
    let before = detection(&fixture);
    assert_eq!((before.rules.open().len(), before.webhook.is_none()), (2, true));
    let webhook = "findings: {webhook: {url: \"https://h/\", certificateAuthority: serving-ca.crt}}";
    fixture.replace(
        "  # expected:\n",
        &format!("  expected: {{usernames: [alice], groups: [sre]}}\n  {webhook}\n"),
    );
    fixture.settle().await;
    let after = detection(&fixture);
    assert_eq!((after.rules.open().len(), after.webhook.is_some()), (0, true));
    assert!(fixture.status().needs_restart.is_empty());
    // The authority's file counts as well.
    let other = fixture.other_files();
    fixture.take(&other, "serving-ca.crt");
    fixture.settle().await;
    assert!(!Arc::ptr_eq(&after, &detection(&fixture)));
}

/// What they ask about is refused to everybody while they get no answer.
#[tokio::test]
async fn api_servers_are_answered_until_the_listener_goes() {
    let mut fixture = Fixture::new();
    let yaml = std::fs::read_to_string(fixture.path("issuer.yaml")).unwrap();
    let (before, section) = yaml.split_once("\nwebhooks:\n").unwrap();
    let (_, after) = section.split_once("\n\n").unwrap();
    std::fs::write(fixture.path("issuer.yaml"), format!("{before}\n{after}")).unwrap();
    fixture.settle().await;
    assert_eq!(fixture.status().needs_restart, ["webhooks.address"]);
    let active = fixture.reloader.running.current.load_full();
    assert_eq!(*active.webhook_clients, ["kube-apiserver".to_owned()]);
}
