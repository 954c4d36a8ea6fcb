//! What `tools/oci` packs is found by its name, and an end of it by hand is a quiet one.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use plaudit_tests::chart;
use serde_json::Value;

/// Packs the folder `files` below `folder` into `archive` there.
fn pack(folder: &Path, archive: &str, name: &str) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/oci"));
    command.args(["files", archive, name, "/program"]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn files(content: &[u8]) -> Result<std::path::PathBuf> {
    let folder = chart::scratch()?;
    fs::create_dir(folder.join("files"))?;
    fs::write(folder.join("files/program"), content)?;
    Ok(folder)
}

/// A file of an archive.
fn read(folder: &Path, archive: &str, file: &str) -> Result<Value> {
    let output = Command::new("tar").args(["-xOf", archive, file]).current_dir(folder).output()?;
    ensure!(output.status.success(), "no {file} in {archive}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn nodes_and_docker_find_an_image_by_the_name_that_pods_give() -> Result<()> {
    let folder = files(b"program")?;
    let mut found = Vec::new();
    for name in ["plaudit/worker:1", "localhost/plaudit/pause:1", "registry.example:5000/worker:1"] {
        let packed = pack(&folder, "image.tar", name).status()?;
        ensure!(packed.success(), "{name} is not packed");
        let index = read(&folder, "image.tar", "index.json")?;
        let docker = read(&folder, "image.tar", "manifest.json")?;
        let of_containerd = &index["manifests"][0]["annotations"]["io.containerd.image.name"];
        let of_containerd = of_containerd.as_str().context("a name")?;
        let host = of_containerd.strip_suffix(name).context("another name")?.to_owned();
        found.push((host.matches('/').count(), docker[0]["RepoTags"][0] == name));
    }

    // the first has no host, and gets the one that a kubelet asks with
    assert_eq!(found, [(1, true), (0, true), (0, true)]);
    Ok(())
}

#[test]
fn packing_that_is_interrupted_says_nothing() -> Result<()> {
    // more than a pipe holds, packed too
    let mut noise = vec![0; 1 << 20];
    fastrand::Rng::with_seed(1).fill(&mut noise);
    let folder = files(&noise)?;
    let made = Command::new("mkfifo").arg(folder.join("image.tar")).status()?;
    ensure!(made.success(), "no pipe");
    let child = pack(&folder, "image.tar", "plaudit/worker:1").spawn()?;

    // it opens when the other side does, and then nobody reads
    let _pipe = File::open(folder.join("image.tar"))?;
    signal::kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT)?;
    let Output { status, stderr, .. } = child.wait_with_output().context("no end")?;

    assert_eq!((status.signal(), String::from_utf8(stderr)?), (Some(Signal::SIGINT as i32), String::new()));
    Ok(())
}
