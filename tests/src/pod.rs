//! What a node makes of a pod, without kubelet or container runtime: the image unpacked, volumes projected from what the API
//! server holds, and the program started as the pod says, in a root of its own.
//!
//! What this does not know (another instruction, another kind of volume) fails the test, instead of being left out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::parts::program;
use crate::process::{Farewell, Leashed, append};

/// What runtimes set where an image sets nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a container file says.
#[derive(Debug)]
pub struct Image {
    copies: Vec<(String, String)>,
    entrypoint: Vec<String>,
}

impl Image {
    /// Reads a container file that copies files into nothing.
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).expect("the container file can be read");
        let (mut copies, mut entrypoint, mut scratch) = (Vec::new(), Vec::new(), false);
        for line in text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
                ["FROM", "scratch"] => scratch = true,
                ["COPY", from, to] => copies.push((from.to_owned(), to.to_owned())),
                // The pod says it, too, and has the last word.
                ["USER", _] => {}
                ["ENTRYPOINT", ref words @ ..] => {
                    entrypoint =
                        serde_json::from_str(&words.join(" ")).expect("the form that needs no shell");
                }
                _ => panic!("{}: this harness does not know {line}", file.display()),
            }
        }
        assert!(scratch, "{} does not start from scratch", file.display());
        Self { copies, entrypoint }
    }

    /// Unpacks it: `context` gives the file that is called so where the image is built.
    pub fn unpack(&self, root: &Path, context: impl Fn(&str) -> PathBuf) {
        for (from, to) in &self.copies {
            let source = context(from);
            copy_into(root, &source, to);
            // The shipped binary is static. The one of this build needs the C library, which is put beside it.
            for library in libraries(&source) {
                copy_into(root, Path::new(&library), &library);
            }
        }
    }
}

fn copy_into(root: &Path, source: &Path, to: &str) {
    let target = within(root, to);
    fs::create_dir_all(target.parent().expect("a file lies in a directory")).expect("our own directory");
    fs::copy(source, &target).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
}

/// An absolute path of the container, as it is called outside of it.
fn within(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn libraries(file: &Path) -> Vec<String> {
    let out = Command::new("ldd").arg(file).output().expect("ldd runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let words = text.split_ascii_whitespace();
    words
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(str::to_owned)
        .collect()
}

/// A running container of a pod; asked to end with this value.
pub struct Pod {
    volumes: Vec<Volume>,
    process: Leashed,
}

/// A projected volume on this machine.
struct Volume {
    dir: PathBuf,
    namespace: String,
    account: String,
    projected: Value,
    group: u32,
    moments: u32,
}

impl Pod {
    /// Runs the only container of `pod`, as the API server admitted it, in `dir`.
    pub fn start(cluster: &Cluster, pod: &Value, image: &Image, dir: &Path, unpacked: &Path) -> Self {
        let (spec, namespace) = (&pod["spec"], text(&pod["metadata"]["namespace"]));
        let [container] = &spec["containers"].as_array().expect("containers")[..] else {
            panic!("this harness runs pods of one container: {spec}");
        };
        let number = |name: &str| {
            let own = &container["securityContext"][name];
            let value = if own.is_null() {
                &spec["securityContext"][name]
            } else {
                own
            };
            value
                .as_u64()
                .unwrap_or_else(|| panic!("{name} is not set: {spec}"))
        };
        let flag = |name: &str| container["securityContext"][name].as_bool() == Some(true);
        let (user, group, owner) = (number("runAsUser"), number("runAsGroup"), number("fsGroup"));

        // A kubelet writes these two.
        fs::create_dir_all(unpacked.join("etc")).expect("our own directory");
        fs::write(unpacked.join("etc/hosts"), "127.0.0.1\tlocalhost\n").expect("our own directory");
        fs::write(unpacked.join("etc/resolv.conf"), "nameserver 127.0.0.1\n").expect("our own directory");
        let (mut mounts, mut volumes) = (String::new(), Vec::new());
        for mount in container["volumeMounts"].as_array().expect("volume mounts") {
            assert!(mount["subPath"].is_null(), "never follows a change: {mount}");
            let volume = find(&spec["volumes"], text(&mount["name"]));
            let mut source = Volume {
                dir: dir.join(text(&mount["name"])),
                namespace: namespace.to_owned(),
                account: text(&spec["serviceAccountName"]).to_owned(),
                projected: volume["projected"].clone(),
                group: u32::try_from(owner).expect("a group id"),
                moments: 0,
            };
            source.project(cluster);
            let target = within(unpacked, text(&mount["mountPath"]));
            fs::create_dir_all(&target).expect("our own directory");
            let target = target.display();
            mounts.push_str(&format!("mount --bind '{}' '{target}'\n", source.dir.display()));
            volumes.push(source);
            if mount["readOnly"] == true {
                mounts.push_str(&format!("mount -o remount,bind,ro '{target}'\n"));
            }
        }
        let root = unpacked.display();
        if flag("readOnlyRootFilesystem") {
            mounts.push_str(&format!("mount -o remount,bind,ro '{root}'\n"));
        }
        let privileges = if container["securityContext"]["allowPrivilegeEscalation"] == false {
            "setpriv --no-new-privs"
        } else {
            ""
        };
        // Where every container finds the API server, whatever `enableServiceLinks` says.
        let port = cluster.url.rsplit(':').next().expect("a port");
        let service = format!("KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT={port}");
        let script = format!(
            "mount --bind '{root}' '{root}'\n{mounts}exec env -i PATH={PATH} {service} {privileges} \
             chroot --userspec={user}:{group} --groups={owner} '{root}' \"$@\""
        );
        let args = container["args"].as_array().expect("arguments").iter().map(text);
        let mut command = Command::new(program("unshare").expect("Part::Confinement is here"));
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-euc",
                &script,
                "container",
            ])
            .args(&image.entrypoint)
            .args(args);
        let stdout = append(&dir.join("stdout"));
        let process = Leashed::spawn(
            "the container",
            &command,
            &dir.join("stderr"),
            Some(stdout.into()),
            Farewell::Term,
        );
        Self { volumes, process }
    }

    /// Brings what the API server holds now into the volumes, as a kubelet does every minute or so.
    pub fn update(&mut self, cluster: &Cluster) {
        for volume in &mut self.volumes {
            volume.project(cluster);
        }
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.process.ended().is_some()
    }
}

impl Volume {
    /// As a kubelet writes it: files of one moment in a directory of their own, reached by links that are switched in one
    /// step; all of it belongs to root and to `fsGroup`.
    fn project(&mut self, cluster: &Cluster) {
        let before = self.dir.join(format!("..moment-{}", self.moments));
        self.moments += 1;
        let name = format!("..moment-{}", self.moments);
        let moment = self.dir.join(&name);
        fs::create_dir_all(&moment).expect("our own directory");
        let mode = self.projected["defaultMode"].as_u64().expect("a default mode");
        let files = self.files(cluster);
        for (path, bytes) in &files {
            let file = moment.join(path);
            fs::write(&file, bytes).expect("our own directory");
            // Whatever the mode, a volume's group may read.
            self.give(&file, u32::try_from(mode).expect("a mode") | 0o440);
        }
        self.give(&moment, 0o2755);
        self.give(&self.dir, 0o2755);
        let switch = self.dir.join("..data_tmp");
        symlink(&name, &switch).expect("our own directory");
        fs::rename(&switch, self.dir.join("..data")).expect("our own directory");
        for path in files.keys() {
            let link = self.dir.join(path);
            if link.symlink_metadata().is_err() {
                symlink(format!("..data/{path}"), link).expect("our own directory");
            }
        }
        if before.exists() {
            fs::remove_dir_all(before).expect("our own directory");
        }
    }

    /// What the sources hold, by path.
    fn files(&self, cluster: &Cluster) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for source in self.projected["sources"].as_array().expect("a projected volume") {
            let (kind, source) = source
                .as_object()
                .and_then(|map| map.iter().next())
                .expect("a source");
            match kind.as_str() {
                "configMap" | "secret" => {}
                "serviceAccountToken" => {
                    let token = self.token(cluster, source);
                    files.insert(text(&source["path"]).to_owned(), token);
                    continue;
                }
                "downwardAPI" => {
                    let [item] = &source["items"].as_array().expect("items")[..] else {
                        panic!("this harness knows one item: {source}");
                    };
                    assert_eq!(item["fieldRef"]["fieldPath"], "metadata.namespace", "{item}");
                    files.insert(
                        text(&item["path"]).to_owned(),
                        self.namespace.clone().into_bytes(),
                    );
                    continue;
                }
                _ => panic!("this harness does not know {kind}"),
            }
            let object = get(cluster, &self.namespace, kind, text(&source["name"]));
            let wanted: Vec<(&str, &str)> = match source["items"].as_array() {
                Some(items) => items
                    .iter()
                    .map(|item| (text(&item["key"]), text(&item["path"])))
                    .collect(),
                None => object["data"]
                    .as_object()
                    .expect("data")
                    .keys()
                    .map(|key| (&key[..], &key[..]))
                    .collect(),
            };
            for (key, path) in wanted {
                let value = object["data"][key]
                    .as_str()
                    .unwrap_or_else(|| panic!("{kind} {source} has no {key}"));
                let bytes = match kind.as_str() {
                    "secret" => STANDARD.decode(value).expect("base64"),
                    _ => value.as_bytes().to_vec(),
                };
                assert!(!path.contains('/'), "this harness projects flat: {path}");
                let other = files.insert(path.to_owned(), bytes);
                assert!(other.is_none(), "two sources write {path}");
            }
        }
        files
    }

    /// What a kubelet asks the API server for.
    fn token(&self, cluster: &Cluster, source: &Value) -> Vec<u8> {
        assert!(source["audience"].is_null(), "{source}");
        let lifetime = format!("--duration={}s", source["expirationSeconds"]);
        let args = [
            "--namespace",
            &self.namespace,
            "create",
            "token",
            &self.account,
            &lifetime,
        ];
        let out = cluster.admin(&args);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout.trim_ascii().to_vec()
    }

    fn give(&self, path: &Path, mode: u32) {
        chown(path, Some(0), Some(self.group)).expect("root may");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
    }
}

fn get(cluster: &Cluster, namespace: &str, kind: &str, name: &str) -> Value {
    let out = cluster.admin(&["--namespace", namespace, "get", kind, name, "-o", "json"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("kubectl prints JSON")
}

/// The element called `name` of a list.
pub fn find<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list
        .as_array()
        .and_then(|list| list.iter().find(|element| element["name"] == name));
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
