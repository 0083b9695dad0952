//! The `cryptopipeline` command, and the kubectl plugin that does the same with a pipeline of a cluster: one module a
//! subcommand, shared by both programs.

pub mod command;
pub mod plugin;

mod candles;
mod cluster;
mod confirm;
mod duration;
mod gaps;
mod manifest;
mod output;
mod place;
mod rebuild;
mod run;
mod table;
mod verify;
