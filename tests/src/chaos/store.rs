//! The store of a schedule: the primary, what was one before, and the proxies by which workers reach whichever it is.

use anyhow::{Context, Result};

use super::plan::ROUTES;
use crate::stack::{Proxy, Valkey, ValkeyOptions};

/// A Valkey that fails over. Workers keep the addresses they have.
#[derive(Debug)]
pub struct Store<'a> {
    first: &'a Valkey,
    /// Those that became a primary, or are about to; numbered from 1.
    promoted: Vec<Valkey>,
    /// Replicas of the primary.
    replicas: Vec<Valkey>,
    primary: usize,
    routes: Vec<Proxy>,
}

impl<'a> Store<'a> {
    /// With so many replicas, to be promoted one after the other.
    pub fn new(first: &'a Valkey, replicas: usize) -> Result<Self> {
        let routes = (0..ROUTES).map(|_| Proxy::start(&first.address())).collect::<Result<_>>()?;
        let replicas = (0..replicas).map(|_| start_valkey()).collect::<Result<Vec<_>>>()?;
        replicas.iter().try_for_each(|replica| replica.follow(first))?;
        Ok(Self { first, promoted: Vec::new(), replicas, primary: 0, routes })
    }

    pub fn primary(&self) -> &Valkey {
        self.node(self.primary)
    }

    /// The number of the primary.
    pub fn at(&self) -> usize {
        self.primary
    }

    /// A server by number; 0 is the first.
    pub fn node(&self, at: usize) -> &Valkey {
        at.checked_sub(1).map_or(self.first, |at| &self.promoted[at])
    }

    /// The proxy of a route.
    pub fn route(&self, at: usize) -> &Proxy {
        &self.routes[at]
    }

    /// Ends the replication of a replica that holds what the primary holds now. Its number.
    pub fn detach_replica(&mut self) -> Result<usize> {
        let replica = self.replicas.pop().context("no replica is left")?;
        replica.wait_for_sync(self.primary())?;
        replica.promote()?;
        self.promoted.push(replica);
        Ok(self.promoted.len())
    }

    /// New connections reach this server from now on, and open ones are reset, but for those on the route `spared`. The
    /// number of the old primary, which is still there.
    pub fn fail_over(&mut self, to: usize, spared: Option<usize>) -> Result<usize> {
        let address = self.node(to).address();
        for (at, route) in self.routes.iter().enumerate() {
            route.redirect(&address)?;
            if spared != Some(at) {
                route.reset();
            }
        }
        self.replicas.iter().try_for_each(|replica| replica.follow(self.node(to)))?;
        Ok(std::mem::replace(&mut self.primary, to))
    }
}

/// A server that keeps every write it acknowledged.
pub fn start_valkey() -> Result<Valkey> {
    Valkey::start(ValkeyOptions { append_fsync: "always", ..ValkeyOptions::default() })
}
