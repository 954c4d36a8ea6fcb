//! What an error of a server says about logins and rights: pure, in the words of Redis and Valkey.

use redis::RedisError;

use crate::security::SecurityError;

/// `address` is the server's, `user` whom we come as; `None`: it is about something else.
pub(super) fn refusal(address: &str, user: &str, error: &RedisError) -> Option<SecurityError> {
    let (code, said) = (error.code().unwrap_or_default(), error.detail().unwrap_or_default());
    let (reason, message) = if code == "NOAUTH" {
        ("AuthenticationFailed", format!("{address} asks for a password; name it in security.password"))
    } else if said.contains("without any password configured") {
        let message =
            format!("{address} has no password for user {user}; remove security.password, or set one there");
        ("AuthenticationFailed", message)
    } else if code == "WRONGPASS"
        || said.contains("invalid password")
        || error.kind() == redis::ErrorKind::AuthenticationFailed
    {
        let message = format!(
            "{address} does not let in user {user}: the password is wrong, or there is no such user; correct security.username or the password in its Secret"
        );
        ("AuthenticationFailed", message)
    } else if code == "NOPERM" || said.contains("user executing the script can't") {
        let in_script = said.contains("executing the script");
        let what = match said.split('\'').nth(1).filter(|_| !in_script) {
            Some(command) if said.contains("command") => {
                format!("run {command}; allow it all commands that workers need")
            }
            _ if said.contains("key") => {
                "use keys that begin with keyPrefix; allow it all of them".to_owned()
            }
            _ => "run all of the scripts; allow it all commands that workers need".to_owned(),
        };
        let message = format!("user {user} of {address} may not {what}");
        ("Unauthorized", message)
    } else {
        return None;
    };
    Some(SecurityError::new(reason, message))
}
