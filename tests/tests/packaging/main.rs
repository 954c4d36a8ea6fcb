//! What is tested of the Helm chart: one test for each promise.

mod cases;
mod contradictions;
mod generated;
mod install;
mod monitoring;
mod operator;
mod pods;
mod render;
