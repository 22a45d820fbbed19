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

use tokio::sync::watch;
use tokio::task::JoinSet;

use self::producer::StreamProducer;
use self::reader::LoadReader;
use super::load::{LoadContext, LoadSummary, gather};

/// Runs all producers to their end, and the readers until then.
pub async fn run(context: LoadContext) -> LoadSummary {
    let start = context.clock.now();
    let (end, ended) = watch::channel(false);
    let mut readers = JoinSet::new();
    for place in 0..context.consumers() {
        if let Some(endpoint) = context.endpoint(place) {
            let reader = LoadReader::new(place, endpoint, context.clone(), ended.clone());
            readers.spawn(reader.run());
        }
    }
    let mut producers = JoinSet::new();
    for number in 0..context.producers() {
        let Some(endpoint) = context.endpoint(number) else {
            break;
        };
        let producer = StreamProducer::new(number, endpoint, start, context.clone());
        producers.spawn(async move { (number, producer.run().await) });
    }
    let mut summary = gather(producers, &context).await;
    let _nobody_reads = end.send(true);
    let readers = gather(readers, &context).await;
    summary.clients.extend(readers.clients);
    summary.errors.extend(readers.errors);
    summary
}
