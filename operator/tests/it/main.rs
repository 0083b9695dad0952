//! Tests of the operator from the outside. Those in `cluster` need a real API server, broker and PostgreSQL and
//! say so when they are skipped; all others need nothing.

mod world;
mod plan;
mod objects;
mod describe;
mod cluster;
