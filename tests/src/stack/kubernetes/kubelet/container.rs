//! A container here is what a pod is played by: nothing at all, or a process of this machine.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;

use super::next_address;

/// Between two looks at a container.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Nothing happens to it by itself any more. A look at each of thousands of pods all the time would take a processor.
const NEVER: Duration = Duration::from_secs(3600);

/// Starts what plays the pods of a [`super::Kubelet`].
pub trait Runtime: Send + Sync + 'static {
    /// Starts what plays `pod`, again after each end. `address` is the pod's own, one of 127.0.0.0/8 that every process of this
    /// machine can listen on. An error is shown in the pod's status, and it is tried again.
    fn start<'a>(&'a self, pod: &'a Pod, address: Ipv4Addr) -> BoxFuture<'a, Result<Box<dyn Container>>>;

    /// The address of the next pod: one of its own, unless somebody answers for all of them.
    fn address(&self) -> Ipv4Addr {
        next_address()
    }
}

/// What plays a pod, from its start to its end. Dropping it ends it at once.
pub trait Container: Send {
    /// How it is.
    fn look(&mut self) -> BoxFuture<'_, Result<Look>>;

    /// When to look again, if nothing happens to its pod before.
    fn look_again(&self) -> Duration {
        LOOK_AGAIN
    }

    /// Asks it to end (SIGTERM): its pod was deleted.
    fn terminate(&mut self) -> Result<()>;
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Running {
        /// Whether it may have work to do, as its readiness probe would say.
        ready: bool,
    },
    /// With this exit status; 128 and the signal's number when a signal ended it.
    Ended { status: i32 },
}

/// Plays pods by nothing but the time that things take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pretend {
    /// From a pod's start until it is ready; `None`: it never is.
    pub ready_after: Option<Duration>,
    /// From a pod's start until it fails with exit status 1; `None`: it doesn't.
    pub fails_after: Option<Duration>,
    /// From the deletion of a pod until it has ended.
    pub ends_after: Duration,
}

#[derive(Debug)]
struct Pretended {
    plan: Pretend,
    start: Instant,
    /// As it was said last.
    ready: bool,
    terminated: Option<Instant>,
}

impl Pretend {
    /// Ready at once, gone at once.
    pub fn quick() -> Self {
        Self { ready_after: Some(Duration::ZERO), ..Self::default() }
    }
}

impl Runtime for Pretend {
    fn start<'a>(&'a self, _: &'a Pod, _: Ipv4Addr) -> BoxFuture<'a, Result<Box<dyn Container>>> {
        let container = Pretended { plan: *self, start: Instant::now(), ready: false, terminated: None };
        Box::pin(std::future::ready(Ok(Box::new(container) as Box<dyn Container>)))
    }
}

impl Container for Pretended {
    fn look(&mut self) -> BoxFuture<'_, Result<Look>> {
        let age = self.start.elapsed();
        let look = if self.terminated.is_some_and(|at| at.elapsed() >= self.plan.ends_after) {
            Look::Ended { status: 0 }
        } else if self.plan.fails_after.is_some_and(|after| age >= after) {
            Look::Ended { status: 1 }
        } else {
            self.ready = self.plan.ready_after.is_some_and(|after| age >= after);
            Look::Running { ready: self.ready }
        };
        Box::pin(std::future::ready(Ok(look)))
    }

    fn look_again(&self) -> Duration {
        let becomes_ready = !self.ready && self.plan.ready_after.is_some();
        let changes = becomes_ready || self.plan.fails_after.is_some() || self.terminated.is_some();
        if changes { LOOK_AGAIN } else { NEVER }
    }

    fn terminate(&mut self) -> Result<()> {
        self.terminated.get_or_insert_with(Instant::now);
        Ok(())
    }
}
