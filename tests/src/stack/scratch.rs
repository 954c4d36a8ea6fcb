//! Scratch is the one directory below the system's temporary directory that holds all files of this process's servers.
//!
//! Statics are never dropped and a killed process drops nothing, so a janitor removes it: a shell that waits for the end of a pipe
//! only this process holds, whatever ends it. `PLAUDIT_KEEP=1` keeps the files, for reading the servers' logs.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// Servers killed a moment ago may still hold the directory: try again for five seconds.
const JANITOR: &str = r#"cat >/dev/null; n=0; until rm -rf -- "$1" 2>/dev/null || [ $((n += 1)) -gt 100 ]; do sleep 0.05; done"#;

/// A new directory of its own, named after `label`.
pub(crate) fn directory(label: &str) -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let path = root()?.join(format!("{label}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&path).with_context(|| format!("could not create {}", path.display()))?;
    Ok(path)
}

pub(crate) fn remove(directory: &PathBuf) {
    if !keep() {
        // whatever stays is the janitor's
        drop(fs::remove_dir_all(directory));
    }
}

fn root() -> Result<&'static PathBuf> {
    static ROOT: OnceLock<Result<(PathBuf, Option<ChildStdin>), String>> = OnceLock::new();
    let made = ROOT.get_or_init(|| create().map_err(|error| format!("{error:#}")));
    made.as_ref().map(|(path, _)| path).map_err(|error| anyhow::anyhow!("{error}"))
}

fn create() -> Result<(PathBuf, Option<ChildStdin>)> {
    let path = std::env::temp_dir().join(format!("plaudit-{}-{:08x}", std::process::id(), fastrand::u32(..)));
    fs::create_dir(&path).with_context(|| format!("could not create {}", path.display()))?;
    if keep() {
        // past the test runner's capture, which would show it only when a test fails
        drop(writeln!(std::io::stderr(), "PLAUDIT_KEEP: files stay in {}", path.display()));
        return Ok((path, None));
    }
    let mut janitor = Command::new("sh")
        .args(["-c", JANITOR, "janitor"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C goes to the terminal's process group, and it must outlive that
        .process_group(0)
        .spawn()
        .context("could not start the shell that removes scratch files")?;
    let pipe = janitor.stdin.take();
    Ok((path, pipe))
}

fn keep() -> bool {
    std::env::var_os("PLAUDIT_KEEP").is_some_and(|value| value == "1")
}
