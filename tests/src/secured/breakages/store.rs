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
        let of_user = || way(Some(&user), &right);
        let rows = [
            ("store-wrong-password", way(None, &wrong), self.good_store(), refused("default")),
            ("store-wrong-password-of-user", way(Some(&user), &wrong), of_user(), refused(&user)),
            ("store-unknown-user", way(Some("nobody"), &right), of_user(), refused("nobody")),
            (
                "store-no-password",
                Way::new(json!({"addresses": [address]}), Secrets::default()),
                self.good_store(),
                format!("{address} asks for a password; name it in security.password"),
            ),
        ];
        for (name, broken, good, message) in rows {
            self.store(name, Ways { broken, good }, "AuthenticationFailed", message);
        }
        let plain = self.servers.strict.address();
        let good = Way::new(json!({"addresses": [plain]}), Secrets::default());
        let broken = Way::new(
            json!({"addresses": [plain], "security": {"password": {"secretName": "store"}}}),
            Secrets::default().with("store", "password", password("unasked")),
        );
        let message =
            format!("{plain} has no password for user default; remove security.password, or set one there");
        self.store("store-unasked-password", Ways { broken, good }, "AuthenticationFailed", message);
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
            let (all, mut rules) =
                (store_rules(&prefix)?, store_rules(if but.is_some() { &prefix } else { "others:" })?);
            rules.retain(|rule| Some(rule.as_str()) != but);
            stack.store.set_user(
                &user,
                STORE_USER_PASSWORD,
                &rules.iter().map(String::as_str).collect::<Vec<_>>(),
            )?;
            let security = json!({"username": user, "password": {"secretName": "store"}});
            let fields = json!({"addresses": [address], "security": security});
            let way = Way::new(fields, Secrets::default().with("store", "password", STORE_USER_PASSWORD));
            let message = format!("user {user} of {address} may not {what}");
            let ways = Ways { broken: way.clone(), good: way };
            let rights = Rights::OfStore { user, rules: all };
            self.store_of(name, &prefix, (ways, rights), "Unauthorized", message);
        }
        Ok(())
    }

    pub(super) fn certificates_of_stores(&mut self) -> Result<()> {
        let peer = self.servers.strict.tls_address()?;
        let at = || json!({"addresses": [peer]});
        let good = self.showing(at(), &self.stack().authority.client("worker")?);
        let ways = |broken| Ways { broken, good: good.clone() };
        let names = ["store-expired", "store-not-yet", "store-elsewhere", "store-unknown-authority"];
        for (name, wrong) in names.into_iter().zip(Wrong::ALL) {
            let peer = self.servers.store(wrong)?;
            let (reason, message) = of_server(&peer, wrong, CA);
            let broken = self.trusting(json!({"addresses": [peer]}));
            self.store(name, ways(broken), reason, message);
        }
        let plain = Way::new(at(), Secrets::default());
        self.store("store-plain-to-tls", ways(plain), "TlsRequired", expects_tls(&peer));
        let plain = self.servers.strict.address();
        let broken = self.trusting(json!({"addresses": [plain]}));
        self.store("store-tls-to-plain", ways(broken), "TlsNotOffered", has_no_tls(&plain, ANOTHER_PORT));
        let broken = self.trusting(at());
        self.store("store-no-certificate", ways(broken), "ClientCertificateRefused", no_certificate(&peer));
        let broken = self.showing(at(), &self.servers.strangers.client("stranger")?);
        let message =
            format!("{peer} does not trust the authority of our certificate; take one that it knows");
        self.store("store-strange-certificate", ways(broken), "ClientCertificateRefused", message);
        for (name, validity) in
            [("store-own-expired", Validity::Expired), ("store-own-not-yet", Validity::NotYet)]
        {
            let identity = self.stack().authority.sign(&Subject::client("user").valid(validity))?;
            let broken = self.showing(at(), &identity);
            let (reason, message) = out_of_date("own", validity);
            self.store(name, ways(broken), reason, message);
        }
        let broken = self.with_another_key(at())?;
        self.store("store-another-key", ways(broken), "SecretInvalid", ANOTHER_KEY.to_owned());
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
            let good = Way::new(fields.clone(), Secrets::default().with("login", "password", STORE_PASSWORD));
            let broken = Way::new(fields.clone(), secrets);
            self.store(name, Ways { broken, good }, reason, message.to_owned());
        }
        let mut good = self.trusting(json!({"addresses": [self.stack().store.tls_address()?]}));
        good.fields["security"]["password"] = json!({"secretName": "store"});
        good.secrets = good.secrets.with("store", "password", STORE_PASSWORD);
        let mut broken = good.clone();
        broken.secrets = broken.secrets.with("authorities", "ca.crt", password("no-certificate"));
        self.store("store-no-pem", Ways { broken, good }, "SecretInvalid", NO_PEM.to_owned());
        Ok(())
    }
}
