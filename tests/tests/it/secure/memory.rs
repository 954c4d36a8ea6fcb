//! What a program has in its memory stays there, however the program ends.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plaudit_tests::programs;

/// Whether a program that reads a file leaves a core dump when it is ended by a signal that asks for one. The file is its last argument, or
/// the one that an environment variable names.
fn dumps_core(program: &Path, arguments: &[&str], variable: Option<&str>) -> Result<bool> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("file");
    ensure!(Command::new("mkfifo").arg(&file).status()?.success());
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -S -c "$(ulimit -H -c)"; exec "$@""#, "sh"]).arg(program).args(arguments);
    match variable {
        Some(name) => command.env(name, &file),
        None => command.arg(&file),
    };
    let mut child = command
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // It goes no further than this: nobody writes what it wants to read.
    let _held = OpenOptions::new().write(true).open(&file)?;
    // Shells let what runs in their background ignore others, and Rust returns from the one of a bad access.
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGABRT)?;
    let dumped = child.wait()?.core_dumped();
    if let Some(path) = dump(child.id()) {
        // Only where one was left outside of our folder.
        drop(std::fs::remove_file(path));
    }
    Ok(dumped)
}

/// Where this machine puts the dump of a process, if that is no secret.
fn dump(pid: u32) -> Option<PathBuf> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").ok()?;
    let path = pattern.trim_end().replace("%p", &pid.to_string());
    (path.starts_with('/') && !path.contains('%')).then(|| path.into())
}

#[test]
fn worker_and_operator_leave_no_core_dump() -> Result<()> {
    // A program that hides nothing, where its dump can be removed again.
    let others = dump(0).map(|_| dumps_core(Path::new("/bin/cat"), &[], None)).transpose()?;

    let plaudit = programs::find("plaudit-under-test")?;
    let ours = [
        dumps_core(&programs::find("worker-under-test")?, &["--config"], None)?,
        dumps_core(&plaudit, &["operator", "--admin-address", "127.0.0.1:0"], Some("KUBECONFIG"))?,
        dumps_core(&plaudit, &["local", "-f"], None)?,
    ];

    assert_eq!(ours, [false; 3]);
    if others == Some(false) {
        eprintln!("not shown: this machine makes no core dumps of any program");
    }
    Ok(())
}
