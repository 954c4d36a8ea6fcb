//! The contracts of Plaudit: the `AchievementPipeline` resource and the worker's configuration file.
//!
//! Both are described once, by Rust types. The CRD's YAML, its bounds and the checks of the files are generated from them.

mod properties;
mod resource;
mod status;
pub mod worker;

pub use properties::Properties;
pub use resource::{
    AchievementPipeline, AchievementPipelineSpec, AchievementType, Achievements, Batch, Behavior,
    DeadLetters, Format, InitialOffset, OnError, Paused, Policy, Scaling, Source, Store, Unlisted,
};
pub use status::{AchievementPipelineStatus, Clamp, DecisionInputs, LastDecision};
