//! Which values of which Secrets are asked for.

use super::{Authorities, Certificate, ClientSecret, Password, SourceSecurity, StoreSecurity, Tls};

/// One value that is asked of a Secret.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SecretKey<'a> {
    /// The Secret's name.
    pub secret_name: &'a str,
    /// Its key.
    pub key: &'a str,
    /// The key that counts where that one is missing.
    pub otherwise: Option<&'a str>,
}

impl Authorities {
    /// Where they are.
    #[must_use]
    pub fn at(&self) -> SecretKey<'_> {
        SecretKey::new(&self.secret_name, &self.key)
    }
}

impl Certificate {
    /// Where the certificate is.
    #[must_use]
    pub fn certificate_at(&self) -> SecretKey<'_> {
        SecretKey::new(&self.secret_name, &self.certificate)
    }

    /// Where its private key is.
    #[must_use]
    pub fn key_at(&self) -> SecretKey<'_> {
        SecretKey::new(&self.secret_name, &self.key)
    }
}

impl ClientSecret {
    /// Where it is.
    #[must_use]
    pub fn at(&self) -> SecretKey<'_> {
        SecretKey::new(&self.secret_name, &self.key)
    }
}

impl SourceSecurity {
    /// Every value that it asks of a Secret, in the order of its fields.
    #[must_use]
    pub fn keys(&self) -> Vec<SecretKey<'_>> {
        let sasl = self.sasl.iter().flat_map(|sasl| {
            let oauth = sasl.oauth.iter().flat_map(|oauth| {
                [oauth.client_secret.at()].into_iter().chain(oauth.ca.as_ref().map(Authorities::at))
            });
            sasl.password.as_ref().map(Password::at).into_iter().chain(oauth)
        });
        self.tls.iter().flat_map(Tls::keys).chain(sasl).collect()
    }
}

impl StoreSecurity {
    /// Every value that it asks of a Secret, in the order of its fields.
    #[must_use]
    pub fn keys(&self) -> Vec<SecretKey<'_>> {
        self.tls.iter().flat_map(Tls::keys).chain(self.password.as_ref().map(Password::at)).collect()
    }
}

impl Password {
    /// Where it is.
    #[must_use]
    pub fn at(&self) -> SecretKey<'_> {
        match &self.key {
            Some(key) => SecretKey::new(&self.secret_name, key),
            None => SecretKey {
                secret_name: &self.secret_name,
                key: "password",
                otherwise: Some("user.password"),
            },
        }
    }
}

impl Tls {
    /// Every value that it asks of a Secret.
    #[must_use]
    pub fn keys(&self) -> Vec<SecretKey<'_>> {
        let own = self.certificate.iter().flat_map(|own| [own.certificate_at(), own.key_at()]);
        self.ca.as_ref().map(Authorities::at).into_iter().chain(own).collect()
    }
}

impl<'a> SecretKey<'a> {
    fn new(secret_name: &'a str, key: &'a str) -> Self {
        Self { secret_name, key, otherwise: None }
    }

    /// The keys that it may be under, the first that exists counts.
    pub fn keys(self) -> impl Iterator<Item = &'a str> {
        [Some(self.key), self.otherwise].into_iter().flatten()
    }
}
