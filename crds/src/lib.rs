//! The contracts of Plaudit: the `AchievementPipeline` resource and the worker's configuration file.
//!
//! Both are described once, by Rust types. The CRD's YAML, its bounds and the checks of the files are generated from them.

mod achievements;
mod check;
mod file;
mod forms;
mod pods;
mod properties;
mod relations;
mod resource;
mod scaling;
pub mod security;
mod status;
pub mod worker;
mod yaml;

pub use achievements::{AchievementType, Achievements, DeadLetters, OnError, Policy, Unlisted, Unlocks};
pub use check::{MAX_VIOLATIONS, Violation, Violations};
pub use file::{FileError, crd_yaml};
pub use pods::WorkerPods;
pub use properties::Properties;
pub use resource::{
    AchievementPipeline, AchievementPipelineSpec, Format, GroupProtocol, InitialOffset, OnRetentionLoss,
    OnStoreLoss, OnTopicRecreated, Source, Store,
};
pub use scaling::{Batch, Behavior, OnUnknownLag, Paused, Scaling};
pub use status::{AchievementPipelineStatus, Clamp, DecisionInputs, LastDecision, PartitionLag};
pub use yaml::{MAX_BYTES as MAX_FILE_BYTES, YamlError, read_text};
