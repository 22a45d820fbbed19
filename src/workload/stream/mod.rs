//! The workload `stream`: producers at each node that publish to streams with publishing ids, and readers that read
//! them by offset meanwhile; and the reading to the end, which takes nothing away.
//!
//! A producer is one named publisher through all its connections, and the publishing id of a value is the same for
//! all its attempts: what was stored before is confirmed and not stored again. That holds only where ids rise, so
//! after a lost connection everything unconfirmed is sent again, lowest first, before anything new; and what the broker
//! refused is not sent again.

pub mod drain;
mod link;
mod producer;
mod reader;

use self::producer::StreamProducer;
use self::reader::LoadReader;
use super::load::{LoadContext, LoadSummary, publish_and_read};

/// Runs all producers to their end, and the readers until then.
pub async fn run(context: LoadContext) -> LoadSummary {
    publish_and_read(
        context,
        |number, endpoint, start, context| {
            StreamProducer::new(number, endpoint, start, context).run()
        },
        |place, endpoint, context, ended| LoadReader::new(place, endpoint, context, ended).run(),
    )
    .await
}
