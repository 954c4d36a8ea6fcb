//! The canary is a word that the tests' passwords have and nothing else has: who reads it in what programs say has found a secret.
//!
//! Keys cannot have it, so those that the tests make are kept in mind. Every fleet and worker that a test stops is searched, and what an
//! operator with Secrets says and writes to the cluster.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

use crate::stack::ask;

/// The word, in letters that a password may have anywhere. Nobody has seen one.
pub const CANARY: &str = "Qzv7canary";
/// In base64 at each of the three places where it may begin, as far as its neighbours do not matter.
const ENCODED: [&str; 3] = ["UXp2N2NhbmFy", "F6djdjYW5hcn", "RenY3Y2FuYXJ5"];

static KEYS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A password that nobody else has. `what` is of letters, digits and `-`.
pub fn password(what: &str) -> String {
    format!("{CANARY}-{what}-{:08x}", fastrand::u32(..))
}

/// Keeps a key in mind, a text in PEM.
pub(crate) fn keep(key: &str) {
    // The first line is the same for all keys of a kind.
    let lines = key.lines().filter(|line| !line.starts_with('-')).skip(1);
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    keys.extend(lines.take(1).map(str::to_owned));
}

/// Fails if there is a secret in this; `place` says where it was found.
pub fn search(place: &str, text: &str) -> Result<()> {
    let keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_secret = |line: &str| {
        [CANARY].iter().chain(&ENCODED).any(|word| line.contains(word))
            || keys.iter().any(|key| line.contains(key.as_str()))
    };
    let found = text.lines().zip(1..).find(|(line, _)| is_secret(line));
    ensure!(
        found.is_none(),
        "a secret in {place}, line {}: {}",
        found.unwrap_or_default().1,
        found.unwrap_or_default().0
    );
    Ok(())
}

/// Fails if there is a secret in a file, or in one of a folder.
pub fn search_files(path: &Path) -> Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
            search_files(&entry?.path())?;
        }
        return Ok(());
    }
    match std::fs::read(path) {
        Ok(bytes) => search(&path.display().to_string(), &String::from_utf8_lossy(&bytes)),
        // Programs replace and remove files while they run.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Fails if there is a secret in a process's arguments or environment, as far as we may see them.
pub fn search_process(pid: u32) -> Result<()> {
    for part in ["cmdline", "environ"] {
        let path = format!("/proc/{pid}/{part}");
        // It may have ended, or hide.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        search(&path, &String::from_utf8_lossy(&bytes))?;
    }
    Ok(())
}

/// Fails if there is a secret in what a worker or an operator at this address answers.
pub fn search_endpoints(address: &str) -> Result<()> {
    for path in ["/lanes", "/metrics", "/readyz", "/livez"] {
        // It may have ended. Operators have no lanes, and say so.
        let Ok((_, body)) = ask::get(address, path) else { continue };
        search(&format!("{address}{path}"), &body)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::certificates::Authority;

    #[test]
    fn a_secret_is_found_however_it_is_written() -> Result<()> {
        let key = Authority::new("authority")?.client("user")?.key;
        let password = password("of-nobody");
        let encoded = |before: &str| openssl::base64::encode_block(format!("{before}{password}").as_bytes());
        let texts = [
            "nothing\nof interest".to_owned(),
            format!("x\npassword={password}"),
            encoded(""),
            encoded("a"),
            encoded("user:"),
            encoded("us"),
            key,
        ];

        let found = texts.map(|text| search("text", &text).is_err());

        assert_eq!(found, [false, true, true, true, true, true, true]);
        Ok(())
    }
}
