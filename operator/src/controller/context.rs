//! What all looks share: clients, stores, and what is remembered of each pipeline.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use plaudit_crds::AchievementPipeline;
use tokio::sync::mpsc::UnboundedSender;

use super::Options;
use super::memory::Memory;
use super::questions::Asker;
use super::rivals::Claims;
use super::secrets::SecretCache;
use super::watch::Stores;
use crate::metrics::Metrics;
use crate::observe::{Monitors, Settings};

/// A pipeline as it comes from the API server: one that cannot be decoded must not hide the others.
pub(super) type Guarded = DeserializeGuard<AchievementPipeline>;

/// Shared by all looks.
pub(super) struct Context {
    pub client: kube::Client,
    pub options: Options,
    pub stores: Stores,
    pub known: Arc<Known>,
    pub asker: Asker,
    pub monitors: Monitors,
    pub secrets: SecretCache,
    pub wake: UnboundedSender<ObjectRef<Guarded>>,
    begin: Instant,
}

/// What is known of pipelines by their UID; the watch drops those that are gone.
pub(super) struct Known {
    pub claims: Mutex<Claims>,
    pub metrics: Metrics,
    memories: Mutex<HashMap<String, Arc<Mutex<Memory>>>>,
}

impl Context {
    pub fn new(
        client: kube::Client,
        options: Options,
        (stores, known): (Stores, Arc<Known>),
        wake: UnboundedSender<ObjectRef<Guarded>>,
    ) -> Self {
        let asker = Asker::new(wake.clone());
        let monitors = Monitors::new(Settings { period: options.period, ..Settings::default() });
        Self {
            client,
            options,
            stores,
            known,
            asker,
            monitors,
            secrets: SecretCache::default(),
            wake,
            begin: Instant::now(),
        }
    }

    /// Time since the controller began; it never goes back.
    pub fn now(&self) -> Duration {
        self.begin.elapsed()
    }
}

impl Known {
    pub fn new(metrics: Metrics) -> Self {
        Self { claims: Mutex::default(), metrics, memories: Mutex::default() }
    }

    /// What is remembered of a pipeline.
    pub fn memory(&self, uid: &str) -> Arc<Mutex<Memory>> {
        lock(&self.memories).entry(uid.to_owned()).or_default().clone()
    }

    /// False once a pipeline is gone.
    pub fn remembers(&self, uid: &str) -> bool {
        lock(&self.memories).contains_key(uid)
    }

    /// Forgets a pipeline, so that its lag is no longer watched; gives the pipelines that waited for it.
    pub fn forget(&self, uid: &str) -> Vec<String> {
        let gone = lock(&self.memories).remove(uid);
        gone.iter().for_each(|memory| self.end(memory));
        lock(&self.claims).remove(uid)
    }

    /// Forgets all pipelines but these.
    pub fn retain(&self, present: &BTreeSet<String>) -> Vec<String> {
        lock(&self.memories).retain(|uid, memory| {
            let stays = present.contains(uid);
            if !stays {
                self.end(memory);
            }
            stays
        });
        lock(&self.claims).retain(present)
    }

    fn end(&self, memory: &Mutex<Memory>) {
        if let Some((namespace, name)) = &lock(memory).object {
            self.metrics.forget(namespace, name);
        }
    }
}

/// A lock whose holder panicked holds nothing half done: every value in it is replaced whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
