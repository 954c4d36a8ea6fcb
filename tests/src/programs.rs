//! The programs that were built with this one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

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
