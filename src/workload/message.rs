//! What a message of a run looks like: who it is, and a body that checks itself.
//!
//! The `message_id` names the attempt, so that a returned message can be matched to it. The
//! body carries the run's id, the value, the attempt and a checksum over all of it, padding
//! included: a message of another run, or one whose bytes changed on the way, is seen as such.
//!
//! Body, integers big-endian: `jtm1`, length of the run id (1 byte), run id, producer (4),
//! sequence (8), attempt (2), zeros up to the wanted size, FNV-1a of all before (8). Each step
//! of FNV-1a is a bijection of its state, so a change of any single byte is always noticed.

use std::fmt;
use std::str::FromStr;

/// The first bytes of every body.
const MAGIC: &[u8; 4] = b"jtm1";
/// Producer, sequence and attempt.
const IDENTITY_BYTES: usize = 4 + 8 + 2;
const CHECKSUM_BYTES: usize = 8;

/// One attempt at one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The producer, from 0.
    pub producer: u32,
    /// The producer's sequence number, from 0. With `producer` it is the value.
    pub sequence: u64,
    /// Which attempt at the value, from 0.
    pub attempt: u16,
}

impl AttemptId {
    /// Stands in the history for a message that has no readable identity.
    pub const FOREIGN: Self = Self {
        producer: u32::MAX,
        sequence: u64::MAX,
        attempt: u16::MAX,
    };
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.producer, self.sequence, self.attempt)
    }
}

/// A text that is not `producer:sequence:attempt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the message id of an attempt")]
pub struct NotAnAttempt;

impl FromStr for AttemptId {
    type Err = NotAnAttempt;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(NotAnAttempt);
        let (producer, sequence, attempt) = (next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(NotAnAttempt);
        }
        Ok(Self {
            producer: producer.parse().map_err(|_| NotAnAttempt)?,
            sequence: sequence.parse().map_err(|_| NotAnAttempt)?,
            attempt: attempt.parse().map_err(|_| NotAnAttempt)?,
        })
    }
}

/// Why a body is not a message of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alien {
    /// Its bytes are not what any jtest wrote.
    Damaged,
    /// A sound message of another run.
    OtherRun,
}

/// Writes and reads the bodies of one run.
#[derive(Debug, Clone)]
pub struct Codec {
    run_id: Vec<u8>,
    body_bytes: usize,
}

impl Codec {
    /// Bodies are padded to `body_bytes`, or as long as identity needs where that is more.
    /// Of the run id the first 255 bytes count.
    pub fn new(run_id: &str, body_bytes: u32) -> Self {
        let mut run_id = run_id.as_bytes().to_vec();
        run_id.truncate(usize::from(u8::MAX));
        Self {
            run_id,
            body_bytes: usize::try_from(body_bytes).unwrap_or(usize::MAX),
        }
    }

    /// The body of an attempt.
    pub fn encode(&self, id: AttemptId) -> Vec<u8> {
        let needed = MAGIC.len() + 1 + self.run_id.len() + IDENTITY_BYTES + CHECKSUM_BYTES;
        let size = self.body_bytes.max(needed);
        let mut body = Vec::with_capacity(size);
        body.extend_from_slice(MAGIC);
        body.extend(u8::try_from(self.run_id.len()));
        body.extend_from_slice(&self.run_id);
        body.extend_from_slice(&id.producer.to_be_bytes());
        body.extend_from_slice(&id.sequence.to_be_bytes());
        body.extend_from_slice(&id.attempt.to_be_bytes());
        body.resize(size - CHECKSUM_BYTES, 0);
        let checksum = fnv1a(&body);
        body.extend_from_slice(&checksum.to_be_bytes());
        body
    }

    /// Who a received body is.
    pub fn decode(&self, body: &[u8]) -> Result<AttemptId, Alien> {
        let (content, checksum) = body.split_last_chunk().ok_or(Alien::Damaged)?;
        if fnv1a(content) != u64::from_be_bytes(*checksum) {
            return Err(Alien::Damaged);
        }
        let (run_id, id) = split(content).ok_or(Alien::Damaged)?;
        if run_id == self.run_id {
            Ok(id)
        } else {
            Err(Alien::OtherRun)
        }
    }
}

/// The run id and the identity in a content whose checksum is right.
fn split(content: &[u8]) -> Option<(&[u8], AttemptId)> {
    let rest = content.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first()?;
    let (run_id, rest) = rest.split_at_checked(usize::from(*length))?;
    let (producer, rest) = rest.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (attempt, _padding) = rest.split_first_chunk()?;
    let id = AttemptId {
        producer: u32::from_be_bytes(*producer),
        sequence: u64::from_be_bytes(*sequence),
        attempt: u16::from_be_bytes(*attempt),
    };
    Some((run_id, id))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_id() -> impl Strategy<Value = AttemptId> {
        (any::<u32>(), any::<u64>(), any::<u16>()).prop_map(|(producer, sequence, attempt)| {
            AttemptId {
                producer,
                sequence,
                attempt,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(run in "[ -~]{0,300}", size in 0u32..400, id in any_id()) {
            let codec = Codec::new(&run, size);
            let body = codec.encode(id);
            prop_assert!(body.len() >= size as usize);
            prop_assert_eq!(codec.decode(&body), Ok(id));
        }

        #[test]
        fn any_flipped_bit_is_noticed(size in 0u32..200, id in any_id(), at in any::<prop::sample::Index>()) {
            let codec = Codec::new("3f9a", size);
            let mut body = codec.encode(id);
            let bit = at.index(body.len() * 8);
            body[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(codec.decode(&body), Err(Alien::Damaged));
        }

        #[test]
        fn a_shortened_body_is_noticed(id in any_id(), keep in any::<prop::sample::Index>()) {
            let codec = Codec::new("3f9a", 64);
            let body = codec.encode(id);
            prop_assert_eq!(codec.decode(&body[..keep.index(body.len())]), Err(Alien::Damaged));
        }

        #[test]
        fn anything_else_is_no_message(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Codec::new("3f9a", 0).decode(&bytes), Err(Alien::Damaged));
        }

        #[test]
        fn a_message_id_reads_back(id in any_id()) {
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn other_texts_are_no_message_ids(text in "[0-9:x-]{0,12}") {
            let parsed = text.parse::<AttemptId>();
            prop_assert!(parsed.is_err() || text.matches(':').count() == 2);
        }
    }

    #[test]
    fn a_sound_message_of_another_run_is_told_apart() {
        let body = Codec::new("one", 0).encode(AttemptId::FOREIGN);
        assert_eq!(Codec::new("two", 0).decode(&body), Err(Alien::OtherRun));
    }
}
