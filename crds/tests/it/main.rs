//! The contracts, checked offline: the generated CRD, and tables of good and bad objects and files with their exact messages.

mod crd;
mod limits;
mod pipeline;
mod security;
mod worker;
