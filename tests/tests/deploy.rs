//! `deploy/`: its README, run word by word on a real API server, and the issuer as a node would run it.

#[path = "deploy/installed.rs"]
mod installed;

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::Cluster;
use e2e::http::Http;
use e2e::machine::{Machine, groups};
use e2e::parts::{Part, present, root};
use e2e::pod::find;
use e2e::process::until;
use gatepass_api::path;
use serde_json::{Value, json};

use installed::{NAMESPACE, SITE, base, container, installed, kustomized, named, of_kind, said};

const MANAGED: &[Part] = &[Part::ControlPlane, Part::Controllers, Part::IdentityProvider];

#[test]
fn the_base_applies_without_a_word_of_warning_and_a_second_time_changes_nothing() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let cluster = Cluster::start(&SITE.dir("bare"));
    let directory = root().join("deploy/base").display().to_string();
    let apply = || {
        let out = cluster.admin(&["apply", "-k", &directory]);
        assert!(out.status.success(), "{}", said(&out));
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "not a word of warning");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let objects = base().len();
    let first = apply();
    assert_eq!(
        first.lines().filter(|line| line.ends_with(" created")).count(),
        objects,
        "{first}"
    );
    // kubectl calls a disruption budget "configured" whatever happens; the API server knows better.
    let versions = || {
        let fields = "jsonpath={range .items[*]}{.kind} {.metadata.resourceVersion}{\"\\n\"}{end}";
        let out = cluster.admin(&["get", "-k", &directory, "-o", fields]);
        assert!(out.status.success(), "{}", said(&out));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let before = versions();
    assert_eq!(before.lines().count(), objects, "{before}");
    apply();
    assert_eq!(versions(), before, "the second time wrote something");
}

#[test]
fn the_issuers_account_may_do_exactly_what_it_needs() {
    if !present(MANAGED) {
        return;
    }
    let cluster = installed().cluster;
    // A binding to a role that a controller fills would else go unnoticed.
    until("the aggregated roles are filled", Duration::from_secs(60), || {
        let out = cluster.admin(&["get", "clusterrole", "edit", "-o", "jsonpath={.rules}"]);
        (out.stdout.len() > 2).then_some(())
    });
    let account = of_kind("ServiceAccount")["metadata"]["name"].take();
    let pod = of_kind("Deployment")["spec"]["template"]["spec"].take();
    assert_eq!(pod["serviceAccountName"], account, "the account of the pods");
    let account = format!(
        "--as=system:serviceaccount:{NAMESPACE}:{}",
        account.as_str().expect("a name")
    );
    let may = |who: Option<&str>, what: &[&str]| {
        let mut args = vec!["auth", "can-i"];
        args.extend(what);
        args.extend(who);
        String::from_utf8_lossy(&cluster.admin(&args).stdout)
            .trim()
            .to_owned()
    };
    let forbidden: &[&[&str]] = &[
        &["deletecollection", "revocations.gatepass.dev"],
        &["patch", "revocations.gatepass.dev"],
        &["*", "revocations.gatepass.dev"],
        &["update", "revocations.gatepass.dev", "--subresource=status"],
        &["get", "customresourcedefinitions.apiextensions.k8s.io"],
        &["update", "customresourcedefinitions.apiextensions.k8s.io"],
        &["get", "secrets", "--namespace", NAMESPACE],
        &["list", "secrets", "--all-namespaces"],
        &["get", "configmaps", "--namespace", NAMESPACE],
        &["create", "pods", "--namespace", NAMESPACE],
        &["create", "pods", "--subresource=exec", "--namespace", NAMESPACE],
        &["patch", "deployments.apps", "--namespace", NAMESPACE],
        &["create", "leases.coordination.k8s.io", "--namespace", NAMESPACE],
        &["create", "events", "--namespace", NAMESPACE],
        &[
            "create",
            "serviceaccounts",
            "--subresource=token",
            "--all-namespaces",
        ],
        &["impersonate", "users"],
        &["impersonate", "groups"],
        &["create", "certificatesigningrequests.certificates.k8s.io"],
        &[
            "update",
            "certificatesigningrequests.certificates.k8s.io",
            "--subresource=approval",
        ],
        &["approve", "signers.certificates.k8s.io"],
        &["create", "tokenreviews.authentication.k8s.io"],
        &["create", "subjectaccessreviews.authorization.k8s.io"],
        &["escalate", "clusterroles.rbac.authorization.k8s.io"],
        &["bind", "clusterroles.rbac.authorization.k8s.io"],
        &["create", "clusterrolebindings.rbac.authorization.k8s.io"],
        &["get", "nodes"],
        &["*", "*", "--all-namespaces"],
    ];
    for what in forbidden {
        assert_eq!(
            may(None, what),
            "yes",
            "the administrator, or the question is wrong: {what:?}"
        );
        assert_eq!(may(Some(&account), what), "no", "{what:?}");
    }
    for verb in ["get", "list", "watch", "create", "update", "delete"] {
        assert_eq!(
            may(Some(&account), &[verb, "revocations.gatepass.dev"]),
            "yes",
            "{verb}"
        );
    }
    let status = ["patch", "revocations.gatepass.dev", "--subresource=status"];
    assert_eq!(may(Some(&account), &status), "yes");
    // Beside that it may do what any account may that nobody gave a role, and not a thing more.
    for namespace in [NAMESPACE, "default", "kube-system"] {
        let list = |who: &str| -> Vec<String> {
            let list = ["--list", "--no-headers", "--namespace", namespace];
            let mut lines: Vec<_> = may(Some(who), &list)
                .lines()
                .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            lines.sort();
            lines
        };
        let mut everybody = list("--as=system:serviceaccount:default:nobody");
        assert!(
            everybody.iter().any(|line| line.contains("selfsubjectreviews")),
            "{everybody:?}"
        );
        everybody.extend(
            [
                "revocations.gatepass.dev [] [] [get list watch create update delete]",
                "revocations.gatepass.dev/status [] [] [patch]",
            ]
            .map(str::to_owned),
        );
        everybody.sort();
        assert_eq!(list(&account), everybody, "in {namespace}");
    }
}

#[test]
fn who_may_revoke_may_do_nothing_else() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let role = named("ClusterRole", "gatepass-revoker");
    assert_eq!(
        role["rules"],
        json!([{
            "apiGroups": ["gatepass.dev"], "resources": ["revocations"],
            "verbs": ["get", "list", "watch", "create", "delete"],
        }])
    );
    let bindings = base();
    let bound = bindings
        .iter()
        .filter(|object| {
            object["kind"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("Binding"))
        })
        .map(|binding| (&binding["roleRef"]["name"], &binding["subjects"]))
        .collect::<Vec<_>>();
    let issuer = json!([{"kind": "ServiceAccount", "name": "gatepass-issuer", "namespace": NAMESPACE}]);
    assert_eq!(
        bound,
        [(&json!("gatepass-issuer"), &issuer)],
        "and nobody else is bound to anything"
    );
}

#[test]
fn what_a_quorum_signs_may_do_everything_and_is_bound_apart_from_the_base() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let bound = kustomized("break-glass");
    let [binding] = &bound[..] else {
        panic!("one object: {bound:?}");
    };
    let group = json!([{
        "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "gatepass:break-glass",
    }]);
    assert_eq!(
        (
            &binding["kind"],
            &binding["roleRef"]["name"],
            &binding["subjects"]
        ),
        (&json!("ClusterRoleBinding"), &json!("cluster-admin"), &group)
    );
    let cluster = SITE.cluster();
    let directory = root().join("deploy/break-glass").display().to_string();
    let apply = || said(&cluster.admin(&["apply", "-k", &directory]));
    // The README, which another test follows here, may have been first.
    apply();
    assert_eq!(
        apply(),
        "clusterrolebinding.rbac.authorization.k8s.io/gatepass-break-glass unchanged\n"
    );
}

#[test]
fn the_readme_leads_to_two_admitted_pods_in_a_namespace_that_refuses_lesser_ones() {
    if !present(MANAGED) {
        return;
    }
    let installed = installed();
    let template = of_kind("Deployment")["spec"]["template"]["spec"].take();
    for pod in installed.pods() {
        assert_eq!(pod["status"]["phase"], "Pending", "there is no node: {pod}");
        let image = pod["spec"]["containers"][0]["image"].as_str().expect("an image");
        assert!(
            image.starts_with("registry.example.com/gatepass-issuer:"),
            "{image}"
        );
        // One was added: the account's token.
        let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
        let own = template["volumes"].as_array().expect("volumes");
        let (token, rest) = volumes.split_last().expect("volumes");
        assert_eq!(rest, own, "the volumes of the template");
        assert!(
            token["projected"]["sources"][0]["serviceAccountToken"].is_object(),
            "{token}"
        );
    }
    let budget = of_kind("PodDisruptionBudget")["metadata"]["name"].take();
    until(
        "the disruption budget counts the Pods",
        Duration::from_secs(60),
        || {
            let status =
                installed.get(&["poddisruptionbudget", budget.as_str().expect("a name")])["status"].take();
            (status["expectedPods"] == of_kind("Deployment")["spec"]["replicas"]).then_some(())
        },
    );

    let file = installed.dir.join("lesser.yaml");
    let create = |namespace: &str, account: &str| {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lesser", "namespace": namespace},
            "spec": {"serviceAccountName": account, "hostPID": true, "containers": [{"name": "c", "image": "c"}]},
        });
        fs::write(&file, pod.to_string()).expect("the scratch directory is writable");
        installed
            .cluster
            .admin(&["create", "-f", &file.display().to_string()])
    };
    let account = template["serviceAccountName"].as_str().expect("a name");
    let refused = said(&create(NAMESPACE, account));
    assert!(
        refused.contains("violates PodSecurity \"restricted:"),
        "{refused}"
    );
    until(
        "the same pod is admitted elsewhere",
        Duration::from_secs(60),
        || create("default", "default").status.success().then_some(()),
    );
}

#[test]
fn names_and_times_in_the_manifests_fit_together() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let container = container();
    let policies = base();
    let issuer = policies
        .iter()
        .find(|object| object["kind"] == "NetworkPolicy" && object["spec"]["ingress"].is_array())
        .expect("a policy that lets somebody in");
    for (at, name) in ["gatepass-issuer", "gatepass-webhooks"].into_iter().enumerate() {
        let service = named("Service", name)["spec"].take();
        let port = &service["ports"][0]["targetPort"];
        find(&container["ports"], port.as_str().expect("a port's name"));
        assert_eq!(
            issuer["spec"]["ingress"][at]["ports"][0]["port"], *port,
            "what is served is let in"
        );
        assert_eq!(
            issuer["spec"]["podSelector"]["matchLabels"], service["selector"],
            "for the pods that serve it"
        );
    }
    // The issuer finishes requests for `limits.shutdownTimeout`, 30 s unless configured, after the pause.
    let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        .as_u64()
        .expect("a pause");
    let grace = &of_kind("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
    assert!(grace.as_u64().expect("a time") > pause + 30 + 30, "{grace} s");
}

#[test]
fn in_its_image_as_its_pod_says_the_issuer_answers_its_probes_and_a_person_gets_in() {
    let parts = [MANAGED, &[Part::Keyring, Part::Confinement]].concat();
    if !present(&parts) {
        return;
    }
    let installed = installed();
    let ca = fs::read_to_string(installed.dir.join("gatepass/ca.crt")).expect("the README made it");
    installed.cluster.trust_authority(&ca);
    let (mut pod, dir) = installed.start();
    for probe in ["readinessProbe", "livenessProbe"] {
        assert!(installed.probe(&container()[probe]), "{probe}");
    }
    let alice = Machine::new(&installed.dir.join("alice"), "alice", &installed.idp);
    let user = installed.somebody_logs_in(&alice);
    assert_eq!(user["username"], "alice");
    assert_eq!(groups(&user), ["dev", "ops", "system:authenticated"]);
    let audit = fs::read_to_string(dir.join("stdout")).expect("its standard output");
    assert!(
        audit.contains("certificate.issued"),
        "no audit record on standard output: {audit}"
    );

    // What the README says about operation, with a new serving certificate and a shorter life: nothing is restarted.
    let serving = installed
        .installation
        .iter()
        .find(|block| block.contains("openssl req"));
    installed.run(serving.expect("the README makes a serving certificate"));
    let file = installed.dir.join("prod/issuer.yaml");
    let config = fs::read_to_string(&file).expect("the README made it");
    let changed = config.replace("ttl: 10m ", "ttl: 5m ");
    assert_ne!(config, changed, "it has a life that this test knows");
    fs::write(&file, changed).expect("our own file");
    installed.operation.iter().for_each(|block| installed.run(block));
    pod.update(installed.cluster);
    let marker = installed.get(&["secret", "gatepass-marker"]);
    assert_eq!(
        marker["data"].as_object().expect("keys").len(),
        2,
        "two marker keys"
    );
    let ca = fs::read_to_string(installed.dir.join("gatepass/serving-ca.crt")).expect("the README made it");
    let (http, cluster) = (Http::trusting(&ca), format!("{}{}", installed.url, path::CLUSTER));
    until("the issuer has all of it", Duration::from_secs(60), || {
        let answer = http.send("GET", &cluster, &[], Vec::new()).ok()?;
        (answer.json()["certificate"]["maxTtlSeconds"] == 300).then_some(())
    });

    let may = [
        "auth",
        "can-i",
        "*",
        "*",
        "--as=break-glass:alice",
        "--as-group=gatepass:break-glass",
    ];
    let out = installed.cluster.admin(&may);
    assert_eq!(said(&out), "yes\n", "the README binds the group");

    // An API server that has what the README made for it asks, at the place that stands for the Service's address.
    let file = installed.dir.join("control-plane/authorize.kubeconfig");
    let kubeconfig: Value = serde_saphyr::from_str(&fs::read_to_string(file).expect("the README made it"))
        .expect("kubectl writes YAML");
    let server = &kubeconfig["clusters"][0]["cluster"];
    let service = installed.get(&["service", "gatepass-webhooks"]);
    let address = service["spec"]["clusterIP"].as_str().expect("an address");
    assert_eq!(server["server"], format!("https://{address}{}", path::AUTHORIZE));
    assert_eq!(server["tls-server-name"], "localhost");
    let pem = |value: &Value| {
        let bytes = STANDARD.decode(value.as_str().expect("base64")).expect("base64");
        String::from_utf8(bytes).expect("PEM")
    };
    let user = &kubeconfig["users"][0]["user"];
    let api_server = Http::showing(
        &pem(&server["certificate-authority-data"]),
        &pem(&user["client-certificate-data"]),
        &pem(&user["client-key-data"]),
    );
    let asked = format!(
        "https://localhost:{}{}",
        installed.port("webhooks"),
        path::AUTHORIZE
    );
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": "mallory", "groups": ["system:authenticated"]},
    });
    let denied = || api_server.call(&asked, &review)["status"]["denied"] == true;
    assert!(!denied());
    let stolen = installed.dir.join("stolen.yaml");
    let document = json!({
        "apiVersion": "gatepass.dev/v1alpha1", "kind": "Revocation", "metadata": {"name": "stolen"},
        "spec": {"target": {"user": "mallory"}},
    });
    fs::write(&stolen, document.to_string()).expect("our own directory");
    let out = installed
        .cluster
        .admin(&["apply", "-f", &stolen.display().to_string()]);
    assert!(out.status.success(), "{}", said(&out));
    until(
        "the pod, by its own account, has seen it",
        Duration::from_secs(2),
        || denied().then_some(()),
    );

    let bob = Machine::new(&installed.dir.join("bob"), "bob", &installed.idp);
    assert_eq!(installed.somebody_logs_in(&bob)["username"], "bob");
}
