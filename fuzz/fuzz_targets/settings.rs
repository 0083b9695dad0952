//! Bytes from libFuzzer for [`fuzz::settings`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::settings(data));
