//! What is tested on a real Kubernetes API server: one test for each promise.

mod bed;
mod harness;
mod pipelines;
