//! The operator against a real API server, broker, PostgreSQL and MariaDB (`testbed/up api` and `testbed/up services`).
//! There is no kubelet: a stand-in of ours lets pods look as if they ran.

mod deletion;
mod election;
mod lab;
mod lifecycle;
mod mysql;
mod nodes;
mod outside;
mod refusals;
mod scaling;
mod security;
mod steady;
mod takeover;
