//! What is remembered of a pipeline between two looks, and may be lost: a restart builds it again from the cluster and the status.

use std::collections::BTreeMap;
use std::time::Duration;

use plaudit_crds::AchievementPipelineStatus;

use super::apply::Synced;
use super::questions::Talk;
use super::standing::Standing;
use crate::observe::{LagWatch, SourceState};
use crate::scaling::Scaler;

/// Of one pipeline.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Its namespace and name.
    pub object: Option<(String, String)>,
    /// When it was to be looked at again, if nothing woke it before.
    pub due: Option<Duration>,
    /// What is asked about its topic and group.
    pub lag: Option<LagWatch>,
    /// What was found of it at the last look.
    pub source: SourceState,
    /// None before the first look, which takes from the status what was learnt.
    pub scaler: Option<Scaler>,
    /// Workers that should run, as decided last.
    pub replicas: Option<u32>,
    /// What its pods were asked and answered, by pod.
    pub talks: BTreeMap<String, Talk>,
    /// What was found equal or written of its children.
    pub synced: Synced,
    /// What the children were like when all of them were last found equal or written.
    pub standing: Option<Standing>,
    /// The status written last, over the object of which resource version, until the watch shows something newer.
    pub status: Option<(String, AchievementPipelineStatus)>,
    /// Looks that failed in a row.
    pub failures: u32,
}

impl Memory {
    /// The status to compare with: what was written last, until the watch shows something newer.
    pub fn previous(
        &mut self,
        resource_version: &str,
        shown: Option<&AchievementPipelineStatus>,
    ) -> Option<AchievementPipelineStatus> {
        self.status.take_if(|(over, _)| over != resource_version);
        self.status.as_ref().map(|(_, written)| written).or(shown).cloned()
    }
}
