//! Metrics over real connections.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;
use crate::event::{Event, Stage};
use crate::inventory::NodeName;
use crate::progress::Outlook;
use crate::scenario::testing::scenario;
use crate::schedule::Plan;

struct Nobody;

impl Show for Nobody {
    fn show(&mut self, _: &Record) {}
}

fn started() -> (SocketAddr, Server, Box<dyn Show>) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().unwrap();
    let nodes = vec![NodeName("n1".to_owned())];
    let lease = Duration::from_secs(60);
    let outlook = Outlook::of(&scenario(), &Plan::default(), nodes.clone(), lease);
    let identity = Identity {
        scenario: "test".to_owned(),
        seed: 7,
    };
    let tally = Arc::new(Tally::new(nodes));
    let state = State::new(outlook);
    let (server, show) = start(listener, identity, tally, state, Box::new(Nobody)).unwrap();
    (address, server, show)
}

async fn asked(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    timeout(Duration::from_secs(30), reading)
        .await
        .unwrap()
        .unwrap();
    answer
}

#[tokio::test]
async fn a_scrape_is_answered_and_nothing_else() {
    let (address, _server, mut show) = started();
    let event = Event::StageBegan {
        stage: Stage::Deploy,
    };
    show.show(&Record { time: 0, event });
    let answer = asked(address, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let kind = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(answer.contains(kind), "{answer}");
    let deploy = "\njtest_stage{stage=\"deploy\"} 1\n";
    assert!(answer.contains(deploy), "{answer}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = asked(address, request).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request}");
    }
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let (address, _server, _show) = started();
    let began = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..serve::CONNECTIONS_MAX {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = asked(address, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let waited = began.elapsed();
    assert!(
        waited > Duration::from_secs(4),
        "there was room: {waited:?}"
    );
    drop(idle);
}
