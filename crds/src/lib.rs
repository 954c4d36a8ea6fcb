//! The contracts of Plaudit: the `AchievementPipeline` resource and the worker's configuration file.
//!
//! Both are described once, by Rust types. The CRD's YAML, its bounds and the checks of the files are generated from them.

mod check;
mod file;
mod forms;
mod properties;
mod relations;
mod resource;
mod status;
pub mod worker;
mod yaml;

pub use check::{Violation, Violations};
pub use file::{FileError, crd_yaml};
pub use properties::Properties;
pub use resource::{
    AchievementPipeline, AchievementPipelineSpec, AchievementType, Achievements, Batch, Behavior,
    DeadLetters, Format, InitialOffset, OnError, Paused, Policy, Scaling, Source, Store, Unlisted,
};
pub use status::{AchievementPipelineStatus, Clamp, DecisionInputs, LastDecision};
pub use yaml::YamlError;
