//! Values of Secrets: where they come from, and what is taken for one.

use std::fmt;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;

use plaudit_crds::security::SecretKey;

use super::SecurityError;

/// What a Secret may hold: the API server takes no more for all keys together.
const LARGEST: u64 = 1 << 20;

/// A text that nobody is to see.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sensitive(String);

impl Sensitive {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the client that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Where values of Secrets come from.
pub trait Secrets {
    /// The bytes below a key; `None` without such a key.
    ///
    /// # Errors
    /// The Secret does not exist or cannot be read.
    fn value(&self, secret_name: &str, key: &str) -> Result<Option<Vec<u8>>, SecurityError>;
}

/// Secrets as files: a folder for each, with a file for each key, as Kubernetes mounts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory(pub PathBuf);

impl Secrets for Directory {
    fn value(&self, secret_name: &str, key: &str) -> Result<Option<Vec<u8>>, SecurityError> {
        let folder = self.0.join(secret_name);
        let unreadable = |error: &std::io::Error| {
            let (key, folder) = (format!("key {key} of Secret {secret_name}"), folder.display());
            SecurityError::new("SecretUnreadable", format!("could not read {key} in {folder}: {error}"))
        };
        let file = match std::fs::File::open(folder.join(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // An optional Secret that is missing is mounted as an empty folder.
                let is_empty = match std::fs::read_dir(&folder) {
                    Ok(mut entries) => entries.next().is_none(),
                    Err(error) if error.kind() == ErrorKind::NotFound => true,
                    Err(error) => return Err(unreadable(&error)),
                };
                return if is_empty { Err(missing(secret_name)) } else { Ok(None) };
            }
            Err(error) => return Err(unreadable(&error)),
        };
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        Ok(Some(bytes))
    }
}

/// The error of a Secret that does not exist.
pub fn missing(secret_name: &str) -> SecurityError {
    SecurityError::new(
        "SecretMissing",
        format!("Secret {secret_name} does not exist; create it, or correct secretName"),
    )
}

/// A value as text, without the line break that an editor left at its end.
pub(super) fn text(secrets: &dyn Secrets, key: SecretKey<'_>) -> Result<Sensitive, SecurityError> {
    let (name, bytes) = found(secrets, key)?;
    let place = format!("key {name} of Secret {}", key.secret_name);
    let invalid = |what| Err(SecurityError::new("SecretInvalid", format!("{place} {what}")));
    if bytes.len() as u64 > LARGEST {
        return invalid("is larger than 1 MiB; a Secret cannot hold that");
    }
    let Ok(mut text) = String::from_utf8(bytes) else {
        return invalid("is not UTF-8 text; write the text itself, Kubernetes alone adds base64");
    };
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() {
        return invalid("is empty; fill it");
    }
    if text.contains('\0') {
        return invalid("has a zero byte, which no password or certificate may have");
    }
    Ok(Sensitive(text))
}

fn found<'a>(secrets: &dyn Secrets, key: SecretKey<'a>) -> Result<(&'a str, Vec<u8>), SecurityError> {
    for name in key.keys() {
        if let Some(bytes) = secrets.value(key.secret_name, name)? {
            return Ok((name, bytes));
        }
    }
    let names = key.keys().collect::<Vec<_>>().join(" and no key ");
    Err(SecurityError::new(
        "SecretKeyMissing",
        format!("Secret {} has no key {names}; add it, or name another key", key.secret_name),
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Secrets by name and key.
    #[derive(Debug, Default)]
    pub(crate) struct InMemory(pub BTreeMap<(String, String), Vec<u8>>);

    impl InMemory {
        pub(crate) fn with(mut self, secret_name: &str, key: &str, value: impl AsRef<[u8]>) -> Self {
            self.0.insert((secret_name.to_owned(), key.to_owned()), value.as_ref().to_vec());
            self
        }
    }

    impl Secrets for InMemory {
        fn value(&self, secret_name: &str, key: &str) -> Result<Option<Vec<u8>>, SecurityError> {
            if !self.0.keys().any(|(name, _)| name == secret_name) {
                return Err(missing(secret_name));
            }
            Ok(self.0.get(&(secret_name.to_owned(), key.to_owned())).cloned())
        }
    }

    fn key<'a>(secret_name: &'a str, key: &'a str) -> SecretKey<'a> {
        SecretKey { secret_name, key, otherwise: None }
    }

    #[test]
    fn what_is_no_text_says_where_it_is_and_what_to_do() {
        let secrets = InMemory::default()
            .with("s", "good", "hunter2\r\n")
            .with("s", "user.password", "other")
            .with("s", "empty", "\n")
            .with("s", "binary", [0xff, 0xfe])
            .with("s", "zero", "a\0b")
            .with("s", "large", vec![b'x'; (1 << 20) + 1]);
        let password = SecretKey { secret_name: "s", key: "password", otherwise: Some("user.password") };
        let none = SecretKey { secret_name: "s", key: "password", otherwise: Some("pass") };
        let cases = [
            (key("s", "good"), Ok("hunter2")),
            (password, Ok("other")),
            (
                key("t", "good"),
                Err("SecretMissing: Secret t does not exist; create it, or correct secretName"),
            ),
            (
                key("s", "none"),
                Err("SecretKeyMissing: Secret s has no key none; add it, or name another key"),
            ),
            (
                none,
                Err(
                    "SecretKeyMissing: Secret s has no key password and no key pass; add it, or name another key",
                ),
            ),
            (key("s", "empty"), Err("SecretInvalid: key empty of Secret s is empty; fill it")),
            (
                key("s", "binary"),
                Err(
                    "SecretInvalid: key binary of Secret s is not UTF-8 text; write the text itself, Kubernetes alone adds base64",
                ),
            ),
            (
                key("s", "zero"),
                Err(
                    "SecretInvalid: key zero of Secret s has a zero byte, which no password or certificate may have",
                ),
            ),
            (
                key("s", "large"),
                Err("SecretInvalid: key large of Secret s is larger than 1 MiB; a Secret cannot hold that"),
            ),
        ];

        for (key, expected) in cases {
            let said = text(&secrets, key)
                .map(|text| text.reveal().to_owned())
                .map_err(|error| format!("{}: {}", error.reason, error.message));
            assert_eq!(said, expected.map(str::to_owned).map_err(str::to_owned));
        }
    }

    #[test]
    fn files_are_read_as_kubernetes_mounts_them() {
        let root = std::env::temp_dir().join(format!("plaudit-secrets-{}", std::process::id()));
        std::fs::create_dir_all(root.join("user")).unwrap();
        std::fs::create_dir_all(root.join("optional")).unwrap();
        std::fs::write(root.join("user/password"), "hunter2").unwrap();
        let secrets = Directory(root.clone());

        let said = [("user", "password"), ("user", "other"), ("optional", "password"), ("none", "password")]
            .map(|(name, key)| secrets.value(name, key).map_err(|error| error.reason));

        std::fs::remove_dir_all(root).unwrap();
        assert_eq!(
            said,
            [Ok(Some(b"hunter2".to_vec())), Ok(None), Err("SecretMissing"), Err("SecretMissing")]
        );
    }

    #[test]
    fn a_sensitive_text_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Sensitive::new("hunter2"))), "Some((hidden))");
    }
}
