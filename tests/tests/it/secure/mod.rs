//! Servers that want to know who comes: each takes the right client and refuses the wrong one.

mod client;
mod kafka;
mod store;
mod tokens;
