//! Fetching is `tools/fetch`'s work; this asks it where things are, so that `cargo test` alone works too.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

/// Root of the source tree: the tools and Kafka's log settings are read from there.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Path that `tools/fetch PART` prints, fetching it first where needed.
pub(crate) fn part(name: &str) -> Result<PathBuf> {
    // one at a time, or two threads that both lack a part would each print their progress
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = Command::new(format!("{ROOT}/tools/fetch"))
        .arg(name)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("could not run tools/fetch")?;
    if !output.status.success() {
        bail!(
            "tools/fetch {name} failed ({}); its own words are above. tools/setup installs what it needs",
            output.status
        );
    }
    let path = String::from_utf8(output.stdout).context("tools/fetch printed a path that is not UTF-8")?;
    Ok(PathBuf::from(path.trim_end()))
}
