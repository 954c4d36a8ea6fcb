//! What is tested on a real Kubernetes API server: one test for each promise.

mod bed;
mod breakages;
mod faults;
mod handover;
mod hardships;
mod harness;
mod kubelet;
mod leader;
mod life;
mod pipelines;
mod playing;
mod process;
mod program;
mod quiet;
mod rights;
mod rivals;
mod rules;
mod same;
mod secrets;
mod secure;
mod selector;
mod steady;
mod storm;
mod users;
