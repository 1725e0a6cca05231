#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slimpack_fuzz::facts(data));
