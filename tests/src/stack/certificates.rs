//! Certificates of the tests: authorities of their own, and what they sign, as PEM texts.

use std::fmt;
use std::net::IpAddr;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::canary;

/// An authority, with its key.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, each as a text in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The common name; of a client, the user.
    pub name: &'a str,
    /// Organizations, which are a user's groups to Kubernetes.
    pub groups: &'a [&'a str],
    /// Names and addresses that clients reach a server by.
    pub hosts: &'a [&'a str],
    pub purpose: Purpose,
    pub validity: Validity,
}

/// What a certificate may be shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Server,
    Client,
}

/// When a certificate is valid. No clock is asked: its borders are centuries away from any test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Now,
    /// From 2000 to 2001.
    Expired,
    /// From 3000 to 3001.
    NotYet,
}

/// The texts of several authorities in one: who trusts it trusts each of them.
pub fn bundle(authorities: &[&Authority]) -> String {
    authorities.iter().map(|authority| authority.pem()).collect()
}

impl Authority {
    /// A new one. Another of the same name is another authority: it has a key of its own.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("could not make the authority's key")?;
        let certificate = params.self_signed(&key).context("could not make the authority's certificate")?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Its own certificate, as a text in PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Its own certificate, in DER.
    pub(crate) fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    /// For a server that clients reach by these names and addresses.
    pub fn server(&self, hosts: &[&str]) -> Result<Identity> {
        self.sign(&Subject::server(hosts))
    }

    /// For a user.
    pub fn client(&self, user: &str) -> Result<Identity> {
        self.sign(&Subject::client(user))
    }

    pub fn sign(&self, subject: &Subject<'_>) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, subject.name);
        for group in subject.groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.subject_alt_names =
            subject.hosts.iter().map(|host| alternative(host)).collect::<Result<_>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match subject.purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        // which of two authorities of the same name it was
        params.use_authority_key_identifier_extension = true;
        let years = match subject.validity {
            Validity::Now => None,
            Validity::Expired => Some(2000),
            Validity::NotYet => Some(3000),
        };
        if let Some(year) = years {
            params.not_before = date_time_ymd(year, 1, 1);
            params.not_after = date_time_ymd(year + 1, 1, 1);
        }
        let key = KeyPair::generate().context("could not make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("could not sign a certificate")?;
        let identity = Identity { certificate: certificate.pem(), key: key.serialize_pem() };
        canary::keep(&identity.key);
        Ok(identity)
    }
}

impl<'a> Subject<'a> {
    /// A server.
    pub fn server(hosts: &'a [&'a str]) -> Self {
        Self { name: "server", groups: &[], hosts, purpose: Purpose::Server, validity: Validity::Now }
    }

    /// A user in no group.
    pub fn client(name: &'a str) -> Self {
        Self { name, groups: &[], hosts: &[], purpose: Purpose::Client, validity: Validity::Now }
    }

    /// The same with another validity.
    pub fn valid(self, validity: Validity) -> Self {
        Self { validity, ..self }
    }
}

impl Identity {
    /// Key and certificate in one text, as Kafka wants them.
    pub fn both(&self) -> String {
        format!("{}{}", self.key, self.certificate)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn alternative(host: &str) -> Result<SanType> {
    Ok(match host.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => {
            SanType::DnsName(host.try_into().with_context(|| format!("{host} is no name of a server"))?)
        }
    })
}

#[cfg(test)]
mod tests {
    use openssl::stack::Stack;
    use openssl::x509::store::X509StoreBuilder;
    use openssl::x509::{X509, X509StoreContext};

    use super::*;

    /// What OpenSSL says of a certificate to somebody who trusts these authorities.
    fn verdict(identity: &Identity, trusted: &str) -> Result<String> {
        let mut store = X509StoreBuilder::new()?;
        for authority in X509::stack_from_pem(trusted.as_bytes())? {
            store.add_cert(authority)?;
        }
        let (store, none) = (store.build(), Stack::new()?);
        let certificate = X509::from_pem(identity.certificate.as_bytes())?;
        let mut context = X509StoreContext::new()?;
        Ok(context.init(&store, &certificate, &none, |context| {
            context.verify_cert()?;
            Ok(context.error().error_string().to_owned())
        })?)
    }

    #[test]
    fn certificates_are_good_for_their_authority_and_their_time_only() -> Result<()> {
        let (old, new, stranger) =
            (Authority::new("ca")?, Authority::new("ca")?, Authority::new("stranger")?);
        let signed = |validity| old.sign(&Subject::client("worker").valid(validity));

        let said = [
            verdict(&old.server(&["127.0.0.1", "localhost"])?, &old.pem())?,
            verdict(&old.client("worker")?, &bundle(&[&new, &old]))?,
            verdict(&new.client("worker")?, &bundle(&[&old, &new]))?,
            verdict(&signed(Validity::Expired)?, &old.pem())?,
            verdict(&signed(Validity::NotYet)?, &old.pem())?,
            verdict(&stranger.client("worker")?, &old.pem())?,
        ];

        assert_eq!(
            said,
            [
                "ok",
                "ok",
                "ok",
                "certificate has expired",
                "certificate is not yet valid",
                "unable to get local issuer certificate"
            ]
        );
        Ok(())
    }
}
