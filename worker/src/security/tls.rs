//! Certificates and keys, held against what they are for before any client sees them.

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Ref};
use plaudit_crds::security::{Certificate, SecretKey, Tls};

use super::secrets::text;
use super::{Secrets, SecurityError, Sensitive};

/// Where an image has the public authorities.
pub(super) const PUBLIC_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Texts in PEM, each read and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsMaterial {
    /// Certificates of the authorities to trust; `None`: the public ones.
    pub authorities: Option<String>,
    /// Our own certificate, with those between it and its authority, and its key.
    pub own: Option<(String, Sensitive)>,
}

impl TlsMaterial {
    /// Reads and checks what `tls` names.
    ///
    /// # Errors
    /// `SecretMissing`, `SecretKeyMissing`, `SecretInvalid`, `CertificateExpired` or `CertificateNotYetValid`, with the Secret's name.
    pub fn read(tls: &Tls, secrets: &dyn Secrets) -> Result<Self, SecurityError> {
        let authorities = tls.ca.as_ref().map(|ca| authorities(ca.at(), secrets)).transpose()?;
        let own = tls.certificate.as_ref().map(|certificate| own(certificate, secrets)).transpose()?;
        Ok(Self { authorities, own })
    }

    /// What makes TLS connections with it; servers' names are checked.
    ///
    /// # Errors
    /// `SecretInvalid` in the words of OpenSSL.
    pub fn connector(&self) -> Result<SslConnector, SecurityError> {
        self.build().map_err(|error| {
            SecurityError::new("SecretInvalid", format!("could not set up TLS: {}", said(&error)))
        })
    }

    fn build(&self) -> Result<SslConnector, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        if let Some(authorities) = &self.authorities {
            let mut store = X509StoreBuilder::new()?;
            for authority in X509::stack_from_pem(authorities.as_bytes())? {
                store.add_cert(authority)?;
            }
            builder.set_cert_store(store.build());
        } else if std::path::Path::new(PUBLIC_AUTHORITIES).exists() {
            builder.set_ca_file(PUBLIC_AUTHORITIES)?;
        }
        if let Some((certificates, key)) = &self.own {
            let mut certificates = X509::stack_from_pem(certificates.as_bytes())?.into_iter();
            if let Some(own) = certificates.next() {
                builder.set_certificate(&own)?;
            }
            for between in certificates {
                builder.add_extra_chain_cert(between)?;
            }
            builder.set_private_key(&*private_key(key)?)?;
        }
        Ok(builder.build())
    }
}

/// An error of OpenSSL in a line, without places in its source.
pub(super) fn said(error: &ErrorStack) -> String {
    let reasons: Vec<&str> = error.errors().iter().filter_map(openssl::error::Error::reason).collect();
    if reasons.is_empty() { "OpenSSL says nothing more".to_owned() } else { reasons.join(", ") }
}

fn authorities(key: SecretKey<'_>, secrets: &dyn Secrets) -> Result<String, SecurityError> {
    let pem = text(secrets, key)?;
    let found = certificates(key, pem.reveal())?;
    // While authorities are exchanged, the old one may end.
    if let Some(first) = found.iter().filter_map(|authority| out_of_date(key, authority)).next()
        && found.iter().all(|authority| out_of_date(key, authority).is_some())
    {
        return Err(first);
    }
    Ok(pem.reveal().to_owned())
}

fn own(own: &Certificate, secrets: &dyn Secrets) -> Result<(String, Sensitive), SecurityError> {
    let (certificate_at, key_at) = (own.certificate_at(), own.key_at());
    let (pem, key) = (text(secrets, certificate_at)?, text(secrets, key_at)?);
    let invalid = |place: SecretKey<'_>, what: &str| {
        let (name, secret_name) = (place.key, place.secret_name);
        SecurityError::new("SecretInvalid", format!("key {name} of Secret {secret_name} {what}"))
    };
    let found = certificates(certificate_at, pem.reveal())?;
    let private = private_key(&key).map_err(|_| {
        invalid(key_at, "has no private key that can be read; write one in PEM, without a password")
    })?;
    if let Some(own) = found.first() {
        if own.public_key().is_ok_and(|public| !public.public_eq(&private)) {
            let what =
                format!("does not belong to the certificate in {}; write both anew", certificate_at.key);
            return Err(invalid(key_at, &what));
        }
        if let Some(error) = out_of_date(certificate_at, own) {
            return Err(error);
        }
    }
    Ok((pem.reveal().to_owned(), key))
}

/// At least one.
fn certificates(at: SecretKey<'_>, pem: &str) -> Result<Vec<X509>, SecurityError> {
    let found = X509::stack_from_pem(pem.as_bytes()).unwrap_or_default();
    if found.is_empty() {
        let (key, name) = (at.key, at.secret_name);
        let message = format!("key {key} of Secret {name} has no certificate that can be read; write PEM");
        return Err(SecurityError::new("SecretInvalid", message));
    }
    Ok(found)
}

fn out_of_date(at: SecretKey<'_>, certificate: &X509Ref) -> Option<SecurityError> {
    let now = Asn1Time::days_from_now(0).ok()?;
    let place = format!("the certificate in key {} of Secret {}", at.key, at.secret_name);
    if certificate.not_after() < now {
        let message = format!("{place} expired on {}; write a new one", certificate.not_after());
        return Some(SecurityError::new("CertificateExpired", message));
    }
    if certificate.not_before() > now {
        let message =
            format!("{place} is not valid before {}; check the clock, or wait", certificate.not_before());
        return Some(SecurityError::new("CertificateNotYetValid", message));
    }
    None
}

/// A key with a password of its own is an error: OpenSSL would ask for it on the terminal.
fn private_key(pem: &Sensitive) -> Result<PKey<Private>, ErrorStack> {
    PKey::private_key_from_pem_callback(pem.reveal().as_bytes(), |_| Ok(0))
}

#[cfg(test)]
mod tests {
    use plaudit_crds::security::Authorities;
    use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};

    use super::super::secrets::tests::InMemory;
    use super::*;

    /// An authority, and a certificate with its key that it signed, valid from the first of January to another.
    fn signed(from: i32, until: i32) -> (String, String, String) {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (authority.not_before, authority.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let mut own = CertificateParams::new(vec!["user".to_owned()]).unwrap();
        (own.not_before, own.not_after) = (authority.not_before, authority.not_after);
        let key = KeyPair::generate().unwrap();
        let own = own.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        (authority_pem, own.pem(), key.serialize_pem())
    }

    fn read(secrets: &InMemory) -> Result<TlsMaterial, String> {
        let ca = Some(Authorities { secret_name: "ca".to_owned(), key: "ca.crt".to_owned() });
        let certificate = Some(Certificate {
            secret_name: "user".to_owned(),
            certificate: "user.crt".to_owned(),
            key: "user.key".to_owned(),
        });
        TlsMaterial::read(&Tls { ca, certificate }, secrets)
            .map_err(|error| format!("{}: {error}", error.reason))
    }

    fn secrets((authority, own, key): (&str, &str, &str)) -> InMemory {
        InMemory::default()
            .with("ca", "ca.crt", authority)
            .with("user", "user.crt", own)
            .with("user", "user.key", key)
    }

    #[test]
    fn good_material_makes_a_connector() {
        let (authority, own, key) = signed(2020, 4000);
        let (old_authority, ..) = signed(2000, 2001);
        let both = format!("{old_authority}{authority}");

        let material = read(&secrets((&both, &own, &key))).unwrap();

        assert_eq!(material.own.as_ref().map(|(own, _)| own.trim_end()), Some(own.trim_end()));
        assert!(material.connector().is_ok());
    }

    #[test]
    fn bad_material_says_what_is_wrong_with_which_key_of_which_secret() {
        let (authority, own, key) = signed(2020, 4000);
        let (old_authority, old, old_key) = signed(2000, 2001);
        let (_, future, future_key) = signed(3000, 4000);
        let with_password =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let cases = [
            (
                ("no PEM", &*own, &*key),
                "SecretInvalid: key ca.crt of Secret ca has no certificate that can be read; write PEM",
            ),
            (
                (&*old_authority, &own, &key),
                "CertificateExpired: the certificate in key ca.crt of Secret ca expired on Jan  1 00:00:00 2001 GMT; write a new one",
            ),
            (
                (&authority, &key, &key),
                "SecretInvalid: key user.crt of Secret user has no certificate that can be read; write PEM",
            ),
            (
                (&authority, &own, &own),
                "SecretInvalid: key user.key of Secret user has no private key that can be read; write one in PEM, without a password",
            ),
            (
                (&authority, &own, with_password),
                "SecretInvalid: key user.key of Secret user has no private key that can be read; write one in PEM, without a password",
            ),
            (
                (&authority, &own, &old_key),
                "SecretInvalid: key user.key of Secret user does not belong to the certificate in user.crt; write both anew",
            ),
            (
                (&authority, &old, &old_key),
                "CertificateExpired: the certificate in key user.crt of Secret user expired on Jan  1 00:00:00 2001 GMT; write a new one",
            ),
            (
                (&authority, &future, &future_key),
                "CertificateNotYetValid: the certificate in key user.crt of Secret user is not valid before Jan  1 00:00:00 3000 GMT; check the clock, or wait",
            ),
        ];

        for (material, expected) in cases {
            assert_eq!(read(&secrets(material)), Err(expected.to_owned()));
        }
    }
}
