//! One test for each promise that takes a real cluster: kubelets, containers, the chart, and Kafka and Valkey beside it.
//!
//! They see a kubeconfig (`KUBECONFIG`) and names of images, so that they run on every cluster whose nodes have the images and reach this
//! machine; `make e2e` brings one. They take turns, because all share the chart's one release. What a failed one leaves is printed.
//! One removes every pipeline and the CRD: a cluster for them has no pipelines of others.

mod bed;
mod beside;
mod dump;
mod install;
mod killed;
mod network;
mod release;
mod replaced;
mod rights;
mod scaling;
mod secrets;
mod uninstall;
mod upgrade;
