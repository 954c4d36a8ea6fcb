//! The contracts, checked offline: the generated CRD, and tables of good and bad objects and files with their exact messages.

mod crd;
mod limits;
mod object;
mod pipeline;
mod relations;
mod security;
mod worker;
