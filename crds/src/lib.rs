//! What users write and what the programs agree on: the CryptoPipeline resource, the settings files of
//! the workers and their status answers. Types only, no I/O.

pub mod worker_settings;
pub mod worker_status;
