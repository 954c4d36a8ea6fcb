//! Servers that want to know who comes: each takes the right client and refuses the wrong one.

mod client;
mod kafka;
mod memory;
mod rotation;
mod store;
mod tokens;
