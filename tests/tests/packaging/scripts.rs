//! What scripts ask of programs that are not here, and what comes out where they are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use plaudit_tests::canary;
use plaudit_tests::chart::{self, Helm, KUBE_VERSION};
use serde_json::Value;

use crate::cases::operator_arguments;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs a script with programs of these names that only write down what they are asked, and say what `answer` has for it.
fn asked(script: &str, programs: &[&str], answer: (&str, &str)) -> Result<Vec<String>> {
    const PROGRAM: &str = "#!/bin/sh\n\
                           echo \"${0##*/} $*\" >>\"${0%/*}/asked\"\n\
                           [ \"${0##*/} $*\" != \"$QUESTION\" ] || echo \"$ANSWER\"\n";
    let folder = chart::scratch()?;
    for program in programs {
        let path = folder.join(program);
        fs::write(&path, PROGRAM)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH")?);
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{ROOT}/tools/{script}")]).stdin(Stdio::null());
    command.env("PATH", &path).env("HOME", "/home/somebody").env("CARGO_TARGET_DIR", "/target");
    command.env("QUESTION", answer.0).env("ANSWER", answer.1).env_remove("KIND_NODE_IMAGE");
    let output = command.output().with_context(|| format!("could not run tools/{script}"))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = fs::read_to_string(folder.join("asked"))?;
    Ok(asked.lines().map(|line| line.replace(&path, "PATH").replace(VERSION, "VERSION")).collect())
}

#[test]
fn what_a_cluster_takes_is_built_by_whoever_asks_and_run_by_root() -> Result<()> {
    let asked = asked("cluster status", &["cargo", "id", "sudo"], ("id -u", "1000"))?;

    assert_eq!(
        asked,
        [
            "cargo build -q --locked -p plaudit-tests",
            "id -u",
            "sudo -E env PATH=PATH HOME=/home/somebody /target/debug/plaudit-tests cluster status",
        ]
    );
    Ok(())
}

#[test]
fn a_password_in_what_the_tests_say_is_found() -> Result<()> {
    let folder = chart::scratch()?;
    let found = |text: &str| -> Result<bool> {
        let file = folder.join("said");
        fs::write(&file, text)?;
        let mut command = Command::new(format!("{ROOT}/tools/find-secrets"));
        Ok(!command.arg(file).output()?.status.success())
    };
    let password = canary::password("said");
    let encoded = openssl::base64::encode_block(format!("user:{password}").as_bytes());

    let found =
        [found("running 7 tests")?, found(&format!("x\nwith {password}"))?, found(&format!("x\n{encoded}"))?];

    assert_eq!(found, [false, true, true]);
    Ok(())
}

#[test]
fn kind_up_makes_a_cluster_with_the_images_and_points_kubectl_at_one_that_is_there() -> Result<()> {
    let kind_up = |clusters| asked("kind-up", &["docker", "kind"], ("kind get clusters", clusters));
    let (made, found) = (kind_up("other")?, kind_up("plaudit")?);

    let [images, load] = [
        &[
            "docker info",
            "docker build --target operator --build-arg VERSION=VERSION --tag plaudit/operator:VERSION .",
            "docker tag plaudit/operator:VERSION plaudit/operator:VERSION",
            "docker build --target worker --build-arg VERSION=VERSION --tag plaudit/worker:VERSION .",
            "docker tag plaudit/worker:VERSION plaudit/worker:VERSION",
            "kind get clusters",
        ][..],
        &["kind load docker-image --name plaudit plaudit/operator:VERSION plaudit/worker:VERSION"],
    ];
    let create = ["kind create cluster --name plaudit --config deploy/kind.yaml --wait 120s"];
    let export = ["kind export kubeconfig --name plaudit"];
    assert_eq!([made, found], [[images, &create, load].concat(), [images, &export, load].concat()]);
    Ok(())
}

#[test]
fn the_chart_of_a_release_has_its_images_and_leads_to_its_pages() -> Result<()> {
    let folder = chart::scratch()?;
    let mut command = Command::new(format!("{ROOT}/tools/release"));
    command.arg("chart").arg(&folder).env("REGISTRY", "registry.example/games");
    command.env("VERSION", format!("v{VERSION}"));
    command.env("GITHUB_SERVER_URL", "https://forge.example").env("GITHUB_REPOSITORY", "games/plaudit");
    let output = command.stdin(Stdio::null()).output().context("could not run tools/release")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = rendered(&folder.join(format!("plaudit-{VERSION}.tgz")))?;

    let objects = chart::objects(&text)?;
    let of = |kind: &str, pointer: &str| {
        let object = objects.iter().find(|object| object["kind"] == kind);
        object
            .and_then(|object| object.pointer(pointer))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let worker =
        operator_arguments(&text)?.into_iter().find(|argument| argument.starts_with("--worker-image"));
    assert_eq!(
        (
            of("Deployment", "/spec/template/spec/containers/0/image"),
            worker,
            of("PrometheusRule", "/spec/groups/0/rules/0/annotations/runbook_url"),
        ),
        (
            format!("registry.example/games/operator:{VERSION}"),
            Some(format!("--worker-image=registry.example/games/worker:{VERSION}")),
            format!(
                "https://forge.example/games/plaudit/blob/v{VERSION}/docs/runbooks/PlauditPartitionStopped.md"
            ),
        )
    );
    Ok(())
}

fn rendered(package: &Path) -> Result<String> {
    Helm::four()?.run(&[
        "template",
        "plaudit",
        &package.display().to_string(),
        &format!("--kube-version={KUBE_VERSION}"),
        "--api-versions=monitoring.coreos.com/v1/PrometheusRule",
        "--set=prometheusRule.enabled=true",
    ])
}
