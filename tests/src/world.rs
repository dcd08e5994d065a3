//! One test file's site, and on it one world per test: an identity provider, an issuer and people.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use crate::alone;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::idp::Idp;
use crate::issuer::{Issuer, Prepared};
use crate::machine::{Browser, Context, Machine};
use crate::parts::root;

/// The directory of one test file, and the API server that its tests share: starting one costs three seconds, an identity
/// provider and an issuer half a second.
pub struct Site {
    name: &'static str,
    dir: OnceLock<PathBuf>,
    cluster: OnceLock<Cluster>,
    worlds: Mutex<Vec<&'static str>>,
}

impl Site {
    /// A site whose directory is `target/e2e/<name>`. What an earlier run left there is removed at first use; what this
    /// run leaves stays, so that a failure can be looked into.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            dir: OnceLock::new(),
            cluster: OnceLock::new(),
            worlds: Mutex::new(Vec::new()),
        }
    }

    /// A new directory of this site.
    pub fn dir(&self, name: &'static str) -> PathBuf {
        let site = self.dir.get_or_init(|| {
            let dir = root().join("target/e2e").join(self.name);
            // Within a network namespace of its own, a test goes on in what the one outside has begun.
            if dir.exists() && !alone::is_within() {
                std::fs::remove_dir_all(&dir).expect("an earlier run's directory can be removed");
            }
            dir
        });
        let mut worlds = self.worlds.lock().expect("no thread panics while it holds this");
        assert!(
            !worlds.contains(&name),
            "two tests of {} want the directory {name}",
            self.name
        );
        worlds.push(name);
        let dir = site.join(name);
        std::fs::create_dir_all(&dir).expect("target/ is writable");
        dir
    }

    /// The API server.
    pub fn cluster(&self) -> &Cluster {
        self.cluster.get_or_init(|| Cluster::start(&self.dir("cluster")))
    }
}

/// An identity provider, the issuer that trusts it, and the API server that trusts the issuer.
pub struct World<'a> {
    /// Where everything of this world lies.
    pub dir: PathBuf,
    /// The API server.
    pub cluster: &'a Cluster,
    /// The identity provider.
    pub idp: Idp,
    /// The issuer.
    pub issuer: Issuer,
    /// What everything but the API server is shown as the time.
    pub clock: Option<Clock>,
}

impl<'a> World<'a> {
    /// A world in the present, with the issuer as `init` configures it.
    pub fn new(site: &'a Site, name: &'static str) -> Self {
        Self::at(site, name, None)
    }

    /// A world that starts `seconds` from the present.
    pub fn at(site: &'a Site, name: &'static str, seconds: Option<i64>) -> Self {
        let dir = site.dir(name);
        let clock = seconds.map(|seconds| Clock::new(&dir, seconds));
        let idp = Idp::start_at(&dir.join("idp"), clock.as_ref());
        let prepared = Prepared::init_at(&dir.join("issuer"), name, &idp, clock.as_ref());
        let cluster = site.cluster();
        cluster.trust(&prepared);
        let issuer = prepared.serve_at(clock.as_ref());
        Self {
            dir,
            cluster,
            idp,
            issuer,
            clock,
        }
    }

    /// The same with an API server of its own, which asks the issuer who is revoked and reports audit events to it.
    /// `cluster` keeps that one.
    pub fn asking(
        site: &'a Site,
        name: &'static str,
        cluster: &'a OnceLock<Cluster>,
        change: impl FnOnce(&Prepared),
    ) -> Self {
        Self::asked(site, name, cluster, None, change, |_, _| {})
    }

    /// The same with revocations that are objects of the cluster.
    pub fn in_cluster(site: &'a Site, name: &'static str, cluster: &'a OnceLock<Cluster>) -> Self {
        Self::in_cluster_at(site, name, cluster, None)
    }

    /// The same, starting `seconds` from the present.
    pub fn in_cluster_at(
        site: &'a Site,
        name: &'static str,
        cluster: &'a OnceLock<Cluster>,
        seconds: Option<i64>,
    ) -> Self {
        Self::asked(
            site,
            name,
            cluster,
            seconds,
            |_| {},
            Prepared::keep_revocations_in,
        )
    }

    fn asked(
        site: &'a Site,
        name: &'static str,
        cluster: &'a OnceLock<Cluster>,
        seconds: Option<i64>,
        before: impl FnOnce(&Prepared),
        after: impl FnOnce(&Prepared, &Cluster),
    ) -> Self {
        let dir = site.dir(name);
        let clock = seconds.map(|seconds| Clock::new(&dir, seconds));
        let idp = Idp::start_at(&dir.join("idp"), clock.as_ref());
        let prepared = Prepared::init_at(&dir.join("issuer"), name, &idp, clock.as_ref());
        before(&prepared);
        let cluster = cluster.get_or_init(|| Cluster::asking(&dir.join("cluster"), &prepared));
        after(&prepared, cluster);
        let issuer = prepared.serve_at(clock.as_ref());
        Self {
            dir,
            cluster,
            idp,
            issuer,
            clock,
        }
    }

    /// One more issuer with the same identity provider, for `cluster`.
    pub fn another_issuer(&self, name: &'static str, cluster: &Cluster) -> Issuer {
        let prepared = Prepared::init_at(&self.dir.join(name), name, &self.idp, self.clock.as_ref());
        cluster.trust(&prepared);
        prepared.serve_at(self.clock.as_ref())
    }

    /// The machine of `user`, who has accepted the issuer and has a kubeconfig for the cluster.
    pub fn machine(&self, user: &'static str) -> Machine {
        self.machine_with(user, Browser::Fast)
    }

    /// The same with another browser.
    pub fn machine_with(&self, user: &'static str, browser: Browser) -> Machine {
        self.place(user, user, browser)
    }

    /// One more machine of `user`, in a directory of that name.
    pub fn machine_named(&self, dir: &'static str, user: &'static str) -> Machine {
        self.place(dir, user, Browser::Fast)
    }

    fn place(&self, dir: &str, user: &str, browser: Browser) -> Machine {
        let machine = Machine::with(&self.dir.join(dir), user, &self.idp, browser, self.clock.as_ref());
        machine.accept(&self.issuer);
        machine.kubeconfig(&[Context {
            name: "here",
            cluster: self.cluster,
            issuer: &self.issuer,
        }]);
        machine
    }
}
