//! The directory of a local fleet: configuration, address and log of each worker, and a lock.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A directory that belongs to this process until it ends.
#[derive(Debug)]
pub(super) struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another fleet runs in it.
    #[error("another `plaudit local` runs in {path}; stop it, or give another --state-dir")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("could not prepare {path}; give another --state-dir")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StateDir {
    /// Takes the directory and removes what an earlier fleet left in it.
    pub(super) fn take(path: &Path) -> Result<Self, StateDirError> {
        let unusable = |source| StateDirError::Unusable { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::create(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateDirError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        for entry in std::fs::read_dir(path).map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            if entry.file_name().to_string_lossy().starts_with("w-") {
                std::fs::remove_file(entry.path()).map_err(unusable)?;
            }
        }
        // Workers run elsewhere, so a relative path would mean another place there.
        let path = path.canonicalize().map_err(unusable)?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn config(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.yaml"))
    }

    pub(super) fn address(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.address"))
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.log"))
    }
}

/// Where a fleet keeps its files when nobody says: beside other programs' state, one directory for each pipeline.
#[must_use]
pub fn default_state_dir(namespace: &str, name: &str) -> PathBuf {
    let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = home("XDG_STATE_HOME").or_else(|| home("HOME").map(|home| home.join(".local/state")));
    base.unwrap_or_else(std::env::temp_dir).join("plaudit").join(format!("{namespace}.{name}"))
}

/// Writes a file so that a reader sees the old text or the new one, never half of it.
pub(super) fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_fleet_and_starts_empty() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("fleet");
        let first = StateDir::take(&path).expect("it is free");
        std::fs::write(first.log("w-0"), "old").expect("a log");

        let second = StateDir::take(&path).expect_err("it is taken").to_string();
        drop(first);
        let third = StateDir::take(&path).expect("it is free again");

        assert_eq!(
            (second, third.log("w-0").exists()),
            (
                format!(
                    "another `plaudit local` runs in {}; stop it, or give another --state-dir",
                    path.display()
                ),
                false
            )
        );
    }
}
