//! The one format of `history.arrow`: an Arrow IPC stream, its buffers compressed with zstd.
//!
//! Columns are named as people would ask for them, and words are dictionary-encoded text, so
//! that pandas, Polars and DuckDB open the file as it is. The schema's metadata carries the
//! format's version, the run's id and the names of the nodes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Int64Builder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, DictionaryArray, Int8Array, Int16Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::operation::{Action, Cause, Entry, Phase};
use crate::inventory::NodeName;

/// The version of the columns and their meaning.
pub const HISTORY_VERSION: &str = "4";

/// Metadata key of [`HISTORY_VERSION`].
pub const VERSION_KEY: &str = "jtest.history.version";
/// Metadata key of the run's id.
pub const RUN_ID_KEY: &str = "jtest.run_id";
/// Metadata key of the nodes' names, in the order of their indices, separated by commas.
pub const NODES_KEY: &str = "jtest.nodes";

/// Every phase, in the order of its code.
pub const PHASES: [(Phase, &str); 4] = [
    (Phase::Invoke, "invoke"),
    (Phase::Ok, "ok"),
    (Phase::Fail, "fail"),
    (Phase::Info, "info"),
];

/// Every action, in the order of its code.
pub const ACTIONS: [(Action, &str); 12] = [
    (Action::Publish, "publish"),
    (Action::Deliver, "deliver"),
    (Action::Drain, "drain"),
    (Action::Get, "get"),
    (Action::Acquire, "acquire"),
    (Action::Release, "release"),
    (Action::Ack, "ack"),
    (Action::Subscribe, "subscribe"),
    (Action::Cancel, "cancel"),
    (Action::Create, "create"),
    (Action::Delete, "delete"),
    (Action::Observe, "observe"),
];

/// Every cause, in the order of its code.
pub const CAUSES: [(Cause, &str); 9] = [
    (Cause::None, "none"),
    (Cause::Nacked, "nacked"),
    (Cause::Returned, "returned"),
    (Cause::ConfirmTimeout, "confirm-timeout"),
    (Cause::ConnectionLost, "connection-lost"),
    (Cause::RunEnded, "run-ended"),
    (Cause::Foreign, "foreign"),
    (Cause::Empty, "empty"),
    (Cause::Refused, "refused"),
];

/// The columns, in their order.
pub mod column {
    #![expect(missing_docs, reason = "the names are documented in docs/results.md")]
    pub const TIME_NS: usize = 0;
    pub const PROCESS: usize = 1;
    pub const NODE: usize = 2;
    pub const PHASE: usize = 3;
    pub const ACTION: usize = 4;
    pub const PRODUCER: usize = 5;
    pub const SEQUENCE: usize = 6;
    pub const ATTEMPT: usize = 7;
    pub const CAUSE: usize = 8;
    pub const INTENDED_NS: usize = 9;
    pub const REDELIVERED: usize = 10;
    pub const QUEUE: usize = 11;
    pub const TAG: usize = 12;
}

fn words(key: DataType) -> DataType {
    DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8))
}

/// The schema of a run's history.
pub fn schema(run_id: &str, nodes: &[NodeName]) -> Schema {
    let names: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
    Schema::new_with_metadata(
        vec![
            Field::new("time_ns", DataType::Int64, false),
            Field::new("process", DataType::UInt32, false),
            Field::new("node", words(DataType::Int16), false),
            Field::new("phase", words(DataType::Int8), false),
            Field::new("action", words(DataType::Int8), false),
            Field::new("producer", DataType::UInt32, false),
            Field::new("sequence", DataType::UInt64, false),
            Field::new("attempt", DataType::UInt16, false),
            Field::new("cause", words(DataType::Int8), false),
            Field::new("intended_ns", DataType::Int64, true),
            Field::new("redelivered", DataType::Boolean, false),
            Field::new("queue", DataType::UInt16, false),
            Field::new("tag", DataType::UInt64, true),
        ],
        HashMap::from([
            (VERSION_KEY.to_owned(), HISTORY_VERSION.to_owned()),
            (RUN_ID_KEY.to_owned(), run_id.to_owned()),
            (NODES_KEY.to_owned(), names.join(",")),
        ]),
    )
}

/// Entries collected for the next batch.
pub struct BatchBuilder {
    schema: Arc<Schema>,
    node_names: Arc<StringArray>,
    phase_names: Arc<StringArray>,
    action_names: Arc<StringArray>,
    cause_names: Arc<StringArray>,
    time: Int64Builder,
    process: UInt32Builder,
    node: Vec<i16>,
    phase: Vec<i8>,
    action: Vec<i8>,
    producer: UInt32Builder,
    sequence: UInt64Builder,
    attempt: UInt16Builder,
    cause: Vec<i8>,
    intended: Int64Builder,
    redelivered: BooleanBuilder,
    queue: UInt16Builder,
    tag: UInt64Builder,
}

impl BatchBuilder {
    /// Nothing collected yet.
    pub fn new(schema: Arc<Schema>, nodes: &[NodeName]) -> Self {
        let names = nodes.iter().map(|node| node.0.as_str());
        Self {
            schema,
            node_names: Arc::new(StringArray::from_iter_values(names)),
            phase_names: dictionary(&PHASES),
            action_names: dictionary(&ACTIONS),
            cause_names: dictionary(&CAUSES),
            time: Int64Builder::new(),
            process: UInt32Builder::new(),
            node: Vec::new(),
            phase: Vec::new(),
            action: Vec::new(),
            producer: UInt32Builder::new(),
            sequence: UInt64Builder::new(),
            attempt: UInt16Builder::new(),
            cause: Vec::new(),
            intended: Int64Builder::new(),
            redelivered: BooleanBuilder::new(),
            queue: UInt16Builder::new(),
            tag: UInt64Builder::new(),
        }
    }

    /// Collects an entry.
    pub fn push(&mut self, entry: &Entry) {
        self.time.append_value(entry.time);
        self.process.append_value(entry.process);
        self.node.push(entry.node.cast_signed());
        self.phase.push((entry.phase as u8).cast_signed());
        self.action.push((entry.action as u8).cast_signed());
        self.producer.append_value(entry.producer);
        self.sequence.append_value(entry.sequence);
        self.attempt.append_value(entry.attempt);
        self.cause.push((entry.cause as u8).cast_signed());
        self.intended.append_option(entry.intended);
        self.redelivered.append_value(entry.redelivered);
        self.queue.append_value(entry.queue);
        self.tag.append_option(entry.tag);
    }

    /// How many entries are collected.
    pub fn len(&self) -> usize {
        self.phase.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.phase.is_empty()
    }

    /// The entries as a batch; the builder is empty afterwards.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let node = Int16Array::from(std::mem::take(&mut self.node));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.time.finish()),
            Arc::new(self.process.finish()),
            Arc::new(DictionaryArray::try_new(node, self.node_names.clone())?),
            encoded(std::mem::take(&mut self.phase), &self.phase_names)?,
            encoded(std::mem::take(&mut self.action), &self.action_names)?,
            Arc::new(self.producer.finish()),
            Arc::new(self.sequence.finish()),
            Arc::new(self.attempt.finish()),
            encoded(std::mem::take(&mut self.cause), &self.cause_names)?,
            Arc::new(self.intended.finish()),
            Arc::new(self.redelivered.finish()),
            Arc::new(self.queue.finish()),
            Arc::new(self.tag.finish()),
        ];
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

fn dictionary<T>(names: &[(T, &str)]) -> Arc<StringArray> {
    Arc::new(StringArray::from_iter_values(
        names.iter().map(|(_, name)| *name),
    ))
}

fn encoded(codes: Vec<i8>, names: &Arc<StringArray>) -> Result<ArrayRef, ArrowError> {
    let array = DictionaryArray::try_new(Int8Array::from(codes), names.clone())?;
    Ok(Arc::new(array))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_positions_and_names_are_serdes() {
        fn check<T: Copy + serde::Serialize>(table: &[(T, &str)], code: impl Fn(T) -> u8) {
            for (position, (value, name)) in table.iter().enumerate() {
                assert_eq!(usize::from(code(*value)), position, "{name}");
                assert_eq!(serde_json::to_value(value).unwrap(), *name);
            }
        }
        check(&PHASES, |phase| phase as u8);
        check(&ACTIONS, |action| action as u8);
        check(&CAUSES, |cause| cause as u8);
    }
}
