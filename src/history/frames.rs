//! Lets through only what a recorder can have written: messages of bounded size.
//!
//! The Arrow reader allocates what a message claims, and a few bytes of zstd can stand for
//! gigabytes. Here each message is looked at before Arrow decodes it, so that memory stays in
//! proportion to [`BATCH_MAX`], whatever the file says.

use std::io::{self, BufRead, Read};

use arrow_ipc::{Message, MessageHeader, RecordBatch, root_as_message};

use super::recorder::BATCH_MAX;

/// Every message begins with it, as Arrow IPC has it.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The mark and the length of the metadata.
const HEAD_BYTES: usize = 8;
/// Bytes of a message's metadata; of the schema's it holds the nodes' names.
const METADATA_BYTES_MAX: usize = 1 << 20;
/// Bytes of one column of a batch: eight an entry, and as much again for dictionaries.
const COLUMN_BYTES_MAX: i64 = 16 * BATCH_MAX as i64;
/// Bytes of a message's body as stored: far more than all columns of a full batch.
const BODY_BYTES_MAX: usize = 32 << 20;

/// The bytes of a stream, whole messages at a time.
pub struct Frames<R> {
    file: R,
    message: Vec<u8>,
    given: usize,
    has_end: bool,
}

impl<R: BufRead> Frames<R> {
    /// Of the whole stream.
    pub fn new(file: R) -> Self {
        Self {
            file,
            message: Vec::new(),
            given: 0,
            has_end: false,
        }
    }

    /// Whether the end of the stream was read, and the file ends with it. A page that was lost to
    /// zeros, or a marker in the middle, is no end.
    pub fn has_ended(&mut self) -> bool {
        self.has_end && self.file.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// Loads the next message. One that is cut off is given as it is: Arrow tells.
    fn load(&mut self) -> io::Result<()> {
        self.given = 0;
        self.message.clear();
        if !self.append(HEAD_BYTES)? {
            return Ok(());
        }
        let (mark, length) = self.message.split_at(CONTINUATION.len());
        if mark != CONTINUATION {
            return Err(damaged("a message does not begin where it should"));
        }
        let length = length.try_into().map(u32::from_le_bytes);
        let length = length.map_or(usize::MAX, |length| length as usize);
        if length > METADATA_BYTES_MAX {
            return Err(damaged("a message's metadata is too large"));
        }
        if length == 0 {
            self.has_end = true;
            return Ok(());
        }
        if !self.append(length)? {
            return Ok(());
        }
        let body_bytes = usize::try_from(parse(&self.message[HEAD_BYTES..])?.bodyLength())
            .ok()
            .filter(|bytes| *bytes <= BODY_BYTES_MAX)
            .ok_or_else(|| damaged("a message is too large"))?;
        if !self.append(body_bytes)? {
            return Ok(());
        }
        let (metadata, body) = self.message[HEAD_BYTES..].split_at(length);
        let message = parse(metadata)?;
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => message
                .header_as_dictionary_batch()
                .and_then(|dictionary| dictionary.data()),
            _ => None,
        };
        batch.map_or(Ok(()), |batch| check(batch, body))
    }

    /// Whether there were as many bytes.
    fn append(&mut self, bytes: usize) -> io::Result<bool> {
        let mut rest = (&mut self.file).take(bytes as u64);
        Ok(rest.read_to_end(&mut self.message)? == bytes)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.given == self.message.len() {
            self.load()?;
        }
        let given = (&self.message[self.given..]).read(to)?;
        self.given += given;
        Ok(given)
    }
}

fn parse(metadata: &[u8]) -> io::Result<Message<'_>> {
    root_as_message(metadata).map_err(|_| damaged("a message's metadata cannot be read"))
}

/// Whether every column lies in the body and stays in bounds once it is decompressed.
fn check(batch: RecordBatch<'_>, body: &[u8]) -> io::Result<()> {
    if !(0..=BATCH_MAX as i64).contains(&batch.length()) {
        return Err(damaged("a batch has too many entries"));
    }
    for column in batch.buffers().into_iter().flatten() {
        let stored = usize::try_from(column.offset())
            .ok()
            .zip(usize::try_from(column.length()).ok())
            .and_then(|(offset, length)| body.get(offset..offset.checked_add(length)?))
            .ok_or_else(|| damaged("a column lies outside of its batch"))?;
        let claimed = match stored.first_chunk() {
            Some(claimed) if batch.compression().is_some() => i64::from_le_bytes(*claimed),
            _ => 0,
        };
        if claimed > COLUMN_BYTES_MAX {
            return Err(damaged("a column is too large"));
        }
    }
    Ok(())
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};

    use super::*;
    use crate::history::operation::{Action, Cause, Entry, Phase};
    use crate::history::schema::{BatchBuilder, schema};
    use crate::inventory::NodeName;

    /// A stream with one batch of equal entries, which compress to next to nothing.
    fn stream(entries: usize) -> Vec<u8> {
        let nodes = [NodeName("n1".to_owned())];
        let schema = Arc::new(schema("r1", &nodes));
        let mut batch = BatchBuilder::new(schema.clone(), &nodes);
        for _ in 0..entries {
            batch.push(&Entry {
                time: 0,
                process: 0,
                node: 0,
                phase: Phase::Invoke,
                action: Action::Publish,
                producer: 0,
                sequence: 0,
                attempt: 0,
                cause: Cause::None,
                ..Entry::default()
            });
        }
        let options = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::ZSTD))
            .unwrap();
        let mut writer = StreamWriter::try_new_with_options(vec![], &schema, options).unwrap();
        writer.write(&batch.take().unwrap()).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<bool> {
        let mut frames = Frames::new(bytes);
        let mut read = Vec::new();
        loop {
            let before = read.len();
            (&mut frames).take(1 << 20).read_to_end(&mut read)?;
            if read.len() == before {
                assert!(bytes.starts_with(&read));
                return Ok(frames.has_ended());
            }
        }
    }

    #[test]
    fn what_a_recorder_writes_passes_as_it_is() {
        assert!(read(&stream(BATCH_MAX)).unwrap());
        let bytes = stream(10);
        assert!(!read(&bytes[..bytes.len() - HEAD_BYTES]).unwrap(), "no end");
    }

    #[test]
    fn a_batch_larger_than_any_is_not_decoded() {
        let error = read(&stream(BATCH_MAX + 1)).unwrap_err().to_string();
        assert_eq!(error, "a batch has too many entries");
    }

    #[test]
    fn a_column_that_claims_gigabytes_is_not_decoded() {
        let mut bytes = stream(1000);
        let claim = 8000_i64.to_le_bytes();
        let at = bytes.windows(8).rposition(|bytes| bytes == claim).unwrap();
        bytes[at..at + 8].copy_from_slice(&(6_i64 << 30).to_le_bytes());
        let error = read(&bytes).unwrap_err().to_string();
        assert_eq!(error, "a column is too large");
    }
}
