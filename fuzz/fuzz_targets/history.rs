#![no_main]
//! A history, as a disk may have left it: read to its end or refused, never a panic, and never complete
//! without an end of its own.

use std::io::Write;

use jtest::history::reader::Reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = tempfile::NamedTempFile::new() else {
        return;
    };
    if file.write_all(bytes).is_err() {
        return;
    }
    let Ok(mut reader) = Reader::open(file.path()) else {
        return;
    };
    while let Ok(Some(batch)) = reader.next_batch() {
        assert_eq!(batch.entries().count(), batch.len());
    }
    if reader.is_complete() {
        assert!(bytes.len() > 8);
    }
});
