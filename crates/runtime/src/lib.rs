//! What every program shares: how the broker is reached, how a program is watched, and how it ends.

pub mod kafka;
