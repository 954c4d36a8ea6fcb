//! The forms of texts in both files: a pattern for machines and what to write for people.

/// A pattern that the API server checks too (RE2 syntax, so no look-ahead), and the advice for who missed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) pattern: &'static str,
    pub(crate) advice: &'static str,
}

pub(crate) const SERVERS: &str =
    r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}(,(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5})*$";
pub(crate) const ADDRESS: &str = r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}$";
pub(crate) const TOPIC: &str = r"^[A-Za-z0-9._-]{1,249}$";
pub(crate) const GROUP: &str = r"^[A-Za-z0-9._-]{1,255}$";
pub(crate) const KEY_PREFIX: &str = r"^[a-z0-9_.:-]{1,64}$";
pub(crate) const RACK: &str = r"^[A-Za-z0-9_./:-]{1,128}$";
pub(crate) const PIPELINE: &str =
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$";
pub(crate) const NAME: &str = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$";
pub(crate) const LABEL: &str = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

// Neither "." nor "..", and nothing that leads out of a folder: it is a file's name too.
pub(crate) const SECRET_KEY: &str = r"^\.?[A-Za-z0-9_-][A-Za-z0-9._-]{0,251}$";
pub(crate) const PATH: &str = r"^[^\x00]+$";
pub(crate) const USERNAME: &str = r"^[^\x00-\x1f\x7f]{1,256}$";
pub(crate) const SCOPE: &str = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$";
pub(crate) const HTTPS: &str = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%!$&'()*+,;=:/-]*)?$";

pub(crate) const FORMS: [Form; 14] = [
    Form { pattern: SERVERS, advice: "write host:port, several separated by commas without spaces" },
    Form { pattern: ADDRESS, advice: "write host:port" },
    Form { pattern: TOPIC, advice: "a Kafka topic has 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'" },
    Form { pattern: GROUP, advice: "write 1 to 255 of a-z, A-Z, 0-9, '.', '_' and '-'" },
    Form { pattern: KEY_PREFIX, advice: "write 1 to 64 of a-z, 0-9, '_', '.', ':' and '-'" },
    Form { pattern: RACK, advice: "write 1 to 128 of a-z, A-Z, 0-9, '_', '.', '/', ':' and '-'" },
    Form { pattern: NAME, advice: "write up to 253 of a-z, 0-9, '.' and '-'" },
    Form { pattern: LABEL, advice: "write up to 63 of a-z, 0-9 and '-'" },
    Form {
        pattern: SECRET_KEY,
        advice: "write the name of a key of a Secret: up to 253 of a-z, A-Z, 0-9, '.', '_' and '-'",
    },
    Form { pattern: PATH, advice: "write a path of up to 4096 letters" },
    Form { pattern: USERNAME, advice: "write 1 to 256 letters without control characters" },
    Form { pattern: SCOPE, advice: "write plain letters, several words separated by spaces" },
    Form { pattern: HTTPS, advice: "write https://host/path; secrets do not belong in it" },
    Form { pattern: PIPELINE, advice: "write namespace/name" },
];
