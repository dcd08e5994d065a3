//! What Prometheus is told. Label values are words of the program's own, by their type: a name that somebody chose would
//! be a time series of its own, and there is no end of names.

use std::sync::atomic::AtomicU64;

use gatepass_api::Code;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::detection::Finding;
use crate::revocation::Revocations;

/// Media type of what [`Metrics::render`] writes.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Label = [(&'static str, &'static str); 1];

/// What an API server was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Denied.
    Deny,
    /// No opinion.
    NoOpinion,
    /// No decision: `failurePolicy` decides there.
    Error,
}

impl Decision {
    fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::NoOpinion => "no_opinion",
            Self::Error => "error",
        }
    }
}

/// All counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    certificates: Family<Label, Counter>,
    decisions: Family<Label, Counter>,
    findings: Family<Label, Counter>,
    findings_dropped: Family<Label, Counter>,
    findings_forgotten: Counter,
    audit_events: Counter,
    audit_events_unreadable: Counter,
    revocations: Gauge,
    revocation_problems: Gauge,
    view_age: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gatepass");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        let metrics = Self {
            certificates: Family::default(),
            decisions: Family::default(),
            findings: Family::default(),
            findings_dropped: Family::default(),
            findings_forgotten: Counter::default(),
            audit_events: Counter::default(),
            audit_events_unreadable: Counter::default(),
            revocations: Gauge::default(),
            revocation_problems: Gauge::default(),
            view_age: Gauge::default(),
            registry,
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        let mut family = |name, help, family: &Family<Label, Counter>| {
            registry.register(name, help, family.clone());
        };
        family(
            "certificates",
            "Requests for a certificate, by `issued` or the code of the refusal",
            &self.certificates,
        );
        family("authorize", "Decisions asked for by API servers", &self.decisions);
        family(
            "findings",
            "Findings in audit events, each once a day for one certificate and user",
            &self.findings,
        );
        family(
            "findings_dropped",
            "Findings that the webhook was not told, because it did not take them",
            &self.findings_dropped,
        );
        let mut counter = |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        counter(
            "findings_forgotten",
            "Findings that may be reported twice in a day, because there were too many to remember",
            &self.findings_forgotten,
        );
        counter(
            "audit_events",
            "Audit events that API servers sent",
            &self.audit_events,
        );
        counter(
            "audit_events_unreadable",
            "Audit events that could not be read",
            &self.audit_events_unreadable,
        );
        registry.register("revocations", "Revocations known here", self.revocations.clone());
        registry.register(
            "revocation_problems",
            "Revocations that cannot be read: they deny nothing but what they denied before",
            self.revocation_problems.clone(),
        );
        registry.register_with_unit(
            "revocation_view_age",
            "Time since the revocations were last known to be what the store holds; infinite before the first time",
            Unit::Seconds,
            self.view_age.clone(),
        );
        // From the start, so that the first one is an increase.
        for finding in Finding::ALL {
            for family in [&self.findings, &self.findings_dropped] {
                family.get_or_create(&[("finding", finding.name())]).inc_by(0);
            }
        }
        for decision in [Decision::Deny, Decision::NoOpinion, Decision::Error] {
            let label = [("decision", decision.name())];
            self.decisions.get_or_create(&label).inc_by(0);
        }
        self.certificates
            .get_or_create(&[("outcome", "issued")])
            .inc_by(0);
        self
    }

    /// A certificate left.
    pub fn issued(&self) {
        self.certificates.get_or_create(&[("outcome", "issued")]).inc();
    }

    /// A request for a certificate was refused.
    pub fn refused(&self, code: &Code) {
        let known = Code::ALL.iter().find(|known| *known == code);
        let outcome = known.map_or("other", |code| code.as_str());
        self.certificates.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// An API server asked.
    pub fn decided(&self, decision: Decision) {
        self.decisions
            .get_or_create(&[("decision", decision.name())])
            .inc();
    }

    /// Events came, of which some could not be read.
    pub fn audit_events(&self, all: usize, unreadable: usize) {
        self.audit_events.inc_by(all as u64);
        self.audit_events_unreadable.inc_by(unreadable as u64);
    }

    /// A finding was reported.
    pub fn found(&self, finding: Finding) {
        self.findings.get_or_create(&[("finding", finding.name())]).inc();
    }

    /// The webhook is not told of a finding.
    pub fn dropped(&self, finding: Finding) {
        self.findings_dropped
            .get_or_create(&[("finding", finding.name())])
            .inc();
    }

    /// A finding was forgotten before its time.
    pub fn forgotten(&self) {
        self.findings_forgotten.inc();
    }

    /// Everything, at `now` in Unix seconds.
    pub fn render(&self, revocations: &Revocations, now: i64) -> String {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.revocations.set(count(revocations.len()));
        self.revocation_problems.set(count(revocations.problems()));
        let age = revocations.age(now).map_or(f64::INFINITY, |age| age as f64);
        self.view_age.set(age);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes all");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Mode;

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn everything_is_there_from_the_start_and_ends_as_openmetrics_wants() {
        let text = Metrics::default().render(&Revocations::new(Mode::Strict), NOW);
        for line in [
            r#"gatepass_build_info{version="0.1.0"} 1"#,
            r#"gatepass_certificates_total{outcome="issued"} 0"#,
            r#"gatepass_authorize_total{decision="deny"} 0"#,
            r#"gatepass_authorize_total{decision="no_opinion"} 0"#,
            r#"gatepass_authorize_total{decision="error"} 0"#,
            r#"gatepass_findings_total{finding="foreign-certificate"} 0"#,
            r#"gatepass_findings_dropped_total{finding="break-glass-used"} 0"#,
            "gatepass_findings_forgotten_total 0",
            "gatepass_audit_events_total 0",
            "gatepass_audit_events_unreadable_total 0",
            "gatepass_revocations 0",
            "gatepass_revocation_view_age_seconds inf",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_happens_is_counted() {
        let metrics = Metrics::default();
        metrics.issued();
        metrics.refused(&Code::Revoked);
        metrics.refused(&Code::Other("alice".into()));
        metrics.decided(Decision::Deny);
        metrics.found(Finding::UnexpectedGroup);
        metrics.dropped(Finding::UnexpectedGroup);
        metrics.forgotten();
        metrics.audit_events(400, 1);
        let revocations = Revocations::new(Mode::BestEffort);
        revocations.in_contact(NOW - 7);
        revocations.set_problems(3);
        let text = metrics.render(&revocations, NOW);
        for line in [
            r#"gatepass_certificates_total{outcome="issued"} 1"#,
            r#"gatepass_certificates_total{outcome="revoked"} 1"#,
            r#"gatepass_certificates_total{outcome="other"} 1"#,
            r#"gatepass_authorize_total{decision="deny"} 1"#,
            r#"gatepass_findings_total{finding="unexpected-group"} 1"#,
            r#"gatepass_findings_dropped_total{finding="unexpected-group"} 1"#,
            "gatepass_findings_forgotten_total 1",
            "gatepass_audit_events_total 400",
            "gatepass_audit_events_unreadable_total 1",
            "gatepass_revocation_problems 3",
            "gatepass_revocation_view_age_seconds 7.0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }
}
