//! Tests of the operator from the outside. Those in `cluster` need a real API server, broker and PostgreSQL and
//! say so when they are skipped; all others need nothing.

// Helpers of tests panic as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod world;
mod plan;
mod objects;
mod describe;
mod describe_data;
mod keeping_up;
mod network;
mod contradictions;
mod series;
mod cluster;
