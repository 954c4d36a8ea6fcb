//! The authority is a cluster's own certificate authority: who holds a certificate of it is the user that the certificate names.
//!
//! Kubernetes has no list of users: a client certificate's common name is the user, its organizations are the groups.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use rcgen::KeyPair;

use crate::stack::certificates::{self, Subject};

/// Holds the authority's key, and writes what it issues into one directory.
#[derive(Debug)]
pub(super) struct Authority {
    directory: PathBuf,
    signer: certificates::Authority,
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
        let signer = certificates::Authority::new("plaudit-tests")?;
        write(&directory.join("ca.crt"), &signer.pem())?;
        Ok(Self { directory, signer, next: AtomicU32::new(0) })
    }

    /// Its own certificate, as a file in PEM.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// Its own certificate, in DER.
    pub(super) fn der(&self) -> Vec<u8> {
        self.signer.der()
    }

    /// For a server that clients reach by these addresses and names.
    pub(super) fn server(&self, name: &str, addresses: &[IpAddr], names: &[&str]) -> Result<Identity> {
        let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        let hosts: Vec<&str> = addresses.iter().map(String::as_str).chain(names.iter().copied()).collect();
        self.issue(&Subject { name, ..Subject::server(&hosts) })
    }

    /// For a user, by name, in groups.
    pub(super) fn client(&self, user: &str, groups: &[&str]) -> Result<Identity> {
        self.issue(&Subject { groups, ..Subject::client(user) })
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

    fn issue(&self, subject: &Subject<'_>) -> Result<Identity> {
        let issued = self.signer.sign(subject)?;
        Ok(Identity {
            certificate: self.write("client.crt", &issued.certificate)?,
            key: self.write("client.key", &issued.key)?,
        })
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("could not write {}", path.display()))
}
