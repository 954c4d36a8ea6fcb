//! What can be wrong between a pipeline and its store.

use super::*;
use crate::stack::security::STORE_USER_PASSWORD;

impl Table<'_> {
    pub(super) fn logins_of_stores(&mut self) -> Result<()> {
        let stack = self.stack();
        let (address, user) = (stack.store.address(), unique_name("user"));
        let (right, wrong) = (password("right"), password("wrong"));
        stack.store.set_user(&user, &right, &["~*", "+@all"])?;
        let way = |user: Option<&str>, password: &str| {
            let mut security = json!({"password": {"secretName": "store"}});
            if let Some(user) = user {
                security["username"] = json!(user);
            }
            Way::new(
                json!({"addresses": [address], "security": security}),
                Secrets::default().with("store", "password", password),
            )
        };
        let refused = |user: &str| {
            format!(
                "{address} does not let in user {user}: the password is wrong, or there is no such user; correct security.username or the password in its Secret"
            )
        };
        let rows = [
            ("store-wrong-password", way(None, &wrong), refused("default")),
            ("store-wrong-password-of-user", way(Some(&user), &wrong), refused(&user)),
            ("store-unknown-user", way(Some("nobody"), &right), refused("nobody")),
            (
                "store-no-password",
                Way::new(json!({"addresses": [address]}), Secrets::default()),
                format!("{address} asks for a password; name it in security.password"),
            ),
        ];
        for (name, way, message) in rows {
            self.store(name, way, "AuthenticationFailed", message);
        }
        let plain = self.servers.strict.address();
        let way = Way::new(
            json!({"addresses": [plain], "security": {"password": {"secretName": "store"}}}),
            Secrets::default().with("store", "password", password("unasked")),
        );
        let message =
            format!("{plain} has no password for user default; remove security.password, or set one there");
        self.store("store-unasked-password", way, "AuthenticationFailed", message);
        Ok(())
    }

    pub(super) fn rights_of_stores(&mut self) -> Result<()> {
        let stack = self.stack();
        let address = stack.store.address();
        let rows = [
            ("store-no-right-on-keys", None, "use keys that begin with keyPrefix; allow it all of them"),
            ("store-no-right-on-command", Some("+mget"), "run mget; allow it all commands that workers need"),
        ];
        for (name, but, what) in rows {
            let (user, prefix) = (unique_name("user"), format!("{}:", unique_name(name)));
            // All commands but one, or all of them for other keys.
            let mut rules = store_rules(if but.is_some() { &prefix } else { "others:" })?;
            rules.retain(|rule| Some(rule.as_str()) != but);
            stack.store.set_user(
                &user,
                STORE_USER_PASSWORD,
                &rules.iter().map(String::as_str).collect::<Vec<_>>(),
            )?;
            let security = json!({"username": user, "password": {"secretName": "store"}});
            let fields = json!({"addresses": [address], "keyPrefix": prefix, "security": security});
            let way = Way::new(fields, Secrets::default().with("store", "password", STORE_USER_PASSWORD));
            let message = format!("user {user} of {address} may not {what}");
            self.store(name, way, "Unauthorized", message);
        }
        Ok(())
    }

    pub(super) fn certificates_of_stores(&mut self) -> Result<()> {
        let names = ["store-expired", "store-not-yet", "store-elsewhere", "store-unknown-authority"];
        for (name, wrong) in names.into_iter().zip(Wrong::ALL) {
            let peer = self.servers.store(wrong)?;
            let (reason, message) = of_server(&peer, wrong, CA);
            let way = self.trusting(json!({"addresses": [peer]}));
            self.store(name, way, reason, message);
        }
        let peer = self.servers.strict.tls_address()?;
        let at = || json!({"addresses": [peer]});
        let plain = Way::new(at(), Secrets::default());
        self.store("store-plain-to-tls", plain, "TlsRequired", expects_tls(&peer));
        let plain = self.servers.strict.address();
        let way = self.trusting(json!({"addresses": [plain]}));
        self.store("store-tls-to-plain", way, "TlsNotOffered", has_no_tls(&plain, ANOTHER_PORT));
        let way = self.trusting(at());
        self.store("store-no-certificate", way, "ClientCertificateRefused", no_certificate(&peer));
        let way = self.showing(at(), &self.servers.strangers.client("stranger")?);
        let message =
            format!("{peer} does not trust the authority of our certificate; take one that it knows");
        self.store("store-strange-certificate", way, "ClientCertificateRefused", message);
        for (name, validity) in
            [("store-own-expired", Validity::Expired), ("store-own-not-yet", Validity::NotYet)]
        {
            let identity = self.stack().authority.sign(&Subject::client("user").valid(validity))?;
            let way = self.showing(at(), &identity);
            let (reason, message) = out_of_date("own", validity);
            self.store(name, way, reason, message);
        }
        let way = self.with_another_key(at())?;
        self.store("store-another-key", way, "SecretInvalid", ANOTHER_KEY.to_owned());
        Ok(())
    }

    pub(super) fn secrets_of_stores(&mut self) -> Result<()> {
        let address = self.stack().store.address();
        let fields = json!({"addresses": [address], "security": {"password": {"secretName": "login"}}});
        let rows = [
            ("store-secret-missing", Secrets::default(), "SecretMissing", MISSING),
            (
                "store-value-empty",
                Secrets::default().with("login", "password", ""),
                "SecretInvalid",
                "key password of Secret login is empty; fill it",
            ),
            (
                "store-key-missing",
                Secrets::default().with("login", "pass", password("elsewhere")),
                "SecretKeyMissing",
                NO_PASSWORD,
            ),
            (
                "store-value-binary",
                Secrets::default().with("login", "password", binary()),
                "SecretInvalid",
                "key password of Secret login is not UTF-8 text; write the text itself, Kubernetes alone adds base64",
            ),
        ];
        for (name, secrets, reason, message) in rows {
            self.store(name, Way::new(fields.clone(), secrets), reason, message.to_owned());
        }
        let mut way = self.trusting(json!({"addresses": [address]}));
        way.secrets = way.secrets.with("authorities", "ca.crt", password("no-certificate"));
        self.store("store-no-pem", way, "SecretInvalid", NO_PEM.to_owned());
        Ok(())
    }
}
