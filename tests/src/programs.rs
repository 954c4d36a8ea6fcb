//! The programs that tests and benchmarks start: those built with this one, and those in other languages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::stack::fetch::{self, ROOT};

/// Beside this program, or beside its folder for a test program.
pub fn find(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().context("could not find this program's folder")?;
    let folders = here.ancestors().skip(1).take(2);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file()).with_context(|| {
        format!("{name} is not built: cargo build -p plaudit -p plaudit-worker -p plaudit-tests")
    })
}

/// Its path as it would be typed from here.
pub fn shown(name: &str) -> Result<String> {
    let path = find(name)?;
    let here = std::env::current_dir()?;
    Ok(path.strip_prefix(&here).map(Path::to_path_buf).unwrap_or(path).display().to_string())
}

/// The Go program in a folder of the source tree, built now.
pub fn go(folder: &str) -> Result<PathBuf> {
    let output = Command::new(format!("{ROOT}/tools/go-build"))
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .context("could not run tools/go-build")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{folder} is not built: {}", said.trim_end());
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

/// A Python program of the source tree, with the packages of examples/python.
pub fn python(script: &str) -> Result<Command> {
    let mut command = Command::new("python3");
    command.arg(Path::new(ROOT).join(script)).env("PYTHONPATH", fetch::part("python")?);
    // It would write its compiled form beside the packages, which others use at the same time.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}
