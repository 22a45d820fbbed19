//! The drain without a broker. Loopback only.

use tokio::net::TcpListener;

use super::*;
use crate::event::Event;
use crate::history::operation::Entry;
use crate::inventory::Secret;

struct Ignored;

impl Record for Ignored {
    fn record(&self, _entry: Entry) {}
}

impl Emit for Ignored {
    fn emit(&self, _event: Event) {}
}

#[tokio::test]
async fn counts_of_zero_prove_nothing_where_nobody_could_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let name = NodeName("n1".to_owned());
    let ignored = Arc::new(Ignored);
    let context = DrainContext {
        endpoints: vec![Endpoint {
            index: 0,
            name: name.clone(),
            address: "127.0.0.1".to_owned(),
            port,
        }],
        credentials: Credentials {
            user: "jtest".to_owned(),
            password: Secret::new("secret"),
            vhost: "/".to_owned(),
        },
        queues: vec![(0, "jtest".to_owned())],
        run_id: "test".to_owned(),
        recorder: ignored.clone(),
        emit: ignored,
        clock: RunClock::start(),
        tally: Arc::new(Tally::new([])),
        deadline: Duration::from_millis(1_500),
    };
    let ask = async || Counts::from([(name.clone(), Ok(NodeCounts::default()))]);
    let proof = timeout(Duration::from_secs(5), run(context, ask)).await;
    let proof = proof.unwrap();
    assert!(!proof.complete);
    let evidence = &proof.evidence[0];
    assert!(
        evidence.contains("cannot connect to 127.0.0.1"),
        "{evidence}"
    );
    assert!(evidence.contains("0 ready, 0 unacknowledged"), "{evidence}");
}
