//! What every decoder that eats outside bytes keeps, whatever the bytes are: it ends, without a panic and within a bound
//! of memory, and what it lets through can go on through the pipeline. Each target under `fuzz_targets/` calls one of
//! these functions with bytes from libFuzzer, the tests call them with the corpus.
//!
//! A decoder to come gets a function here, a row in [`TARGETS`], a file in `fuzz_targets/` with its `[[bin]]`, and seeds
//! in `corpus/`.
#![allow(clippy::expect_used, reason = "what does not hold here is the finding")]

mod allocation;
mod texts;
mod trades;

pub use texts::{manifest, settings};
pub use trades::{dump, frame, record, rest_answer};

/// A decoder's name, which is that of its corpus, and what it must keep.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("frame", frame),
    ("rest_answer", rest_answer),
    ("dump", dump),
    ("record", record),
    ("settings", settings),
    ("manifest", manifest),
];
