//! Bytes from libFuzzer for [`fuzz::rest_answer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::rest_answer(data));
