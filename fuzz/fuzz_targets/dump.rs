//! Bytes from libFuzzer for [`fuzz::dump`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::dump(data));
