//! The authority is a cluster's own certificate authority: who holds a certificate of it is the user that the certificate names.
//!
//! Kubernetes has no list of users: a client certificate's common name is the user, its organizations are the groups.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Holds the authority's key, and writes what it issues into one directory.
#[derive(Debug)]
pub(super) struct Authority {
    directory: PathBuf,
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
    next: AtomicU32,
}

/// A certificate and its key, as files in PEM.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Authority {
    /// A new one that writes into `directory`.
    pub(super) fn new(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory)
            .with_context(|| format!("could not create {}", directory.display()))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "plaudit-tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("could not make the authority's key")?;
        let certificate = params.self_signed(&key).context("could not make the authority's certificate")?;
        write(&directory.join("ca.crt"), &certificate.pem())?;
        let issuer = Issuer::new(params, key);
        Ok(Self { directory, certificate, issuer, next: AtomicU32::new(0) })
    }

    /// Its own certificate, as a file in PEM.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// Its own certificate, in DER.
    pub(super) fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    /// For a server that clients reach by these addresses and names.
    pub(super) fn server(&self, name: &str, addresses: &[IpAddr], names: &[&str]) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = addresses.iter().map(|address| SanType::IpAddress(*address)).collect();
        for name in names {
            let name = (*name).try_into().with_context(|| format!("{name} is no name of a server"))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// For a user, by name, in groups.
    pub(super) fn client(&self, user: &str, groups: &[&str]) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        self.issue(params)
    }

    /// A key pair without a certificate, as files in PEM, private and public: what signs tokens, and what checks them.
    pub(super) fn key_pair(&self, name: &str) -> Result<(PathBuf, PathBuf)> {
        let key = KeyPair::generate().with_context(|| format!("could not make the key {name}"))?;
        let private = self.write(&format!("{name}.key"), &key.serialize_pem())?;
        let public = self.write(&format!("{name}.pub"), &key.public_key_pem())?;
        Ok((private, public))
    }

    /// A file of `content` beside the certificates, under a name of its own that ends in `name`.
    pub(super) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.directory.join(format!("{}-{name}", self.next.fetch_add(1, Ordering::Relaxed)));
        write(&path, content)?;
        Ok(path)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("could not make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("could not sign a certificate")?;
        Ok(Identity {
            certificate: self.write("client.crt", &certificate.pem())?,
            key: self.write("client.key", &key.serialize_pem())?,
        })
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("could not write {}", path.display()))
}
