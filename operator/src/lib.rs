//! Plaudit's operator: turns an `AchievementPipeline` into a number of workers, and shows what it found and why it decided.
//!
//! `pipeline` (parse) → `observe` → `scaling` → apply. `pipeline`, `scaling`, `status` and `screen` are pure: no client, no clock; time is an
//! argument. `local` applies a decision to processes of this machine.

pub mod admin;
pub mod api;
pub mod children;
pub mod commands;
pub mod controller;
pub mod leader;
pub mod load;
pub mod local;
pub mod metrics;
pub mod observe;
pub mod pipeline;
mod plain;
pub mod pods;
pub mod rbac;
pub mod scaling;
pub mod screen;
pub mod security;
pub mod simulate;
pub mod snapshot;
pub mod status;
pub mod table;
