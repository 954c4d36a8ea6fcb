//! What end-to-end tests rely on: nodes that run our images as any node would, and that leave nothing behind.
//!
//! Each test has a cluster of its own (5 s), one after the other, since two cores have room for one.

mod bed;
mod left;
mod operator;
mod pods;
mod quickstart;
