//! The kubectl plugin as a program, against a real API server (`testbed/up api`). There is no kubelet: what needs pods that run
//! is tested on kind (`e2e/plugin.py`). Where the testbed is not up, these tests say that they are skipped.

// Helpers of tests panic as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod lab;
mod report;
mod rights;
mod status;
mod suspend;
