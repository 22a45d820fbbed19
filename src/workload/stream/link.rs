//! A connection to one broker by the stream protocol, and the only place that knows its codec.
//!
//! The codec is that of RabbitMQ's own client. The client itself goes to whatever node the broker names,
//! which a client of ours must not, speaks to brokers from 3.11 on only, and hands what comes to tasks of their own, in
//! which messages may change places. So the socket and the handshake are here.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

use rabbitmq_stream_protocol::codec::{Decoder, Encoder};
use rabbitmq_stream_protocol::commands::credit::CreditCommand;
use rabbitmq_stream_protocol::commands::declare_publisher::DeclarePublisherCommand;
use rabbitmq_stream_protocol::commands::heart_beat::HeartBeatCommand;
use rabbitmq_stream_protocol::commands::open::OpenCommand;
use rabbitmq_stream_protocol::commands::peer_properties::PeerPropertiesCommand;
use rabbitmq_stream_protocol::commands::publish::PublishCommand;
use rabbitmq_stream_protocol::commands::sasl_authenticate::SaslAuthenticateCommand;
use rabbitmq_stream_protocol::commands::sasl_handshake::SaslHandshakeCommand;
use rabbitmq_stream_protocol::commands::subscribe::{OffsetSpecification, SubscribeCommand};
use rabbitmq_stream_protocol::commands::tune::TunesCommand;
use rabbitmq_stream_protocol::message::Message;
use rabbitmq_stream_protocol::types::PublishedMessage;
use rabbitmq_stream_protocol::{Request, Response, ResponseCode, ResponseKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::{Credentials, Endpoint};

/// The port of a broker's stream listener.
pub const STREAM_PORT: u16 = 5552;

/// From the first packet to an open connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// For each request to the broker.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Asked of the broker; a peer silent for twice as long is given up.
const HEARTBEAT: Duration = Duration::from_secs(6);
/// Offered to the broker, and the most that is taken from it.
const FRAME_BYTES_MAX: u32 = 16 << 20;
/// Frames on their way in either direction.
const FRAMES_MAX: usize = 64;
/// A connection has one publisher or one subscription.
const ID: u8 = 1;
/// Of the command: without a filter.
const PUBLISH_VERSION: u16 = 1;

/// What a broker sends without being asked.
#[derive(Debug)]
pub(super) enum Push {
    /// These publishing ids are confirmed.
    Confirmed(Vec<u64>),
    /// The broker did not take the messages with these publishing ids.
    Refused(Vec<u64>),
    /// Messages, of which the first has this offset; the bodies.
    Chunk(u64, Vec<Vec<u8>>),
    /// The connection, or what it was for, is no more.
    Lost(String),
}

/// A connection, cut when it is dropped.
pub(super) struct StreamLink {
    requests: mpsc::Sender<Request>,
    answers: mpsc::Receiver<Result<Response, String>>,
    /// What came while an answer was waited for.
    early: VecDeque<Push>,
    correlation: u32,
    _tasks: JoinSet<()>,
}

impl StreamLink {
    /// Connects to the endpoint itself.
    pub(super) async fn open(
        endpoint: &Endpoint,
        credentials: &Credentials,
        name: &str,
    ) -> Result<Self, String> {
        let address = format!("{}:{STREAM_PORT}", endpoint.address);
        let opening = async {
            let socket = TcpStream::connect((endpoint.address.as_str(), STREAM_PORT)).await;
            let socket = socket.map_err(|error| format!("cannot connect to {address}: {error}"))?;
            let mut link = Self::over(socket).map_err(|error| error.to_string())?;
            let greeted = link.greet(credentials, name).await;
            greeted.map_err(|error| format!("no stream session with {address}: {error}"))?;
            Ok(link)
        };
        let opened = timeout(CONNECT_DEADLINE, opening).await;
        opened.unwrap_or_else(|_elapsed| {
            let seconds = CONNECT_DEADLINE.as_secs();
            Err(format!(
                "no stream session with {address} within {seconds} s"
            ))
        })
    }

    fn over(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let (input, output) = socket.into_split();
        let (requests, outgoing) = mpsc::channel(FRAMES_MAX);
        let (incoming, answers) = mpsc::channel(FRAMES_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(send(output, outgoing));
        tasks.spawn(receive(input, incoming));
        Ok(Self {
            requests,
            answers,
            early: VecDeque::new(),
            correlation: 0,
            _tasks: tasks,
        })
    }

    async fn greet(&mut self, credentials: &Credentials, name: &str) -> Result<(), String> {
        let own = [("product", "jtest"), ("connection_name", name)];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.ask(|id| PeerPropertiesCommand::new(id, HashMap::from(own)).into())
            .await?;
        self.ask(|id| SaslHandshakeCommand::new(id).into()).await?;
        let Credentials {
            user,
            password,
            vhost,
        } = credentials;
        let secret = format!("\0{user}\0{}", password.expose()).into_bytes();
        let answer = self
            .ask(|id| SaslAuthenticateCommand::new(id, "PLAIN".to_owned(), secret).into())
            .await?;
        accepted("log in", answer)?;
        loop {
            if let ResponseKind::Tunes(_) = self.next().await?.kind() {
                break;
            }
        }
        let heartbeat = u32::try_from(HEARTBEAT.as_secs()).unwrap_or(u32::MAX);
        self.tell(TunesCommand::new(FRAME_BYTES_MAX, heartbeat).into())
            .await?;
        let answer = self
            .ask(|id| OpenCommand::new(id, vhost.clone()).into())
            .await?;
        match answer {
            ResponseKind::Open(open) if open.is_ok() => Ok(()),
            ResponseKind::Open(open) => Err(format!("cannot use {vhost}: {:?}", open.code())),
            other => Err(format!("an odd answer to opening {vhost}: {other:?}")),
        }
    }

    /// Becomes the publisher of this name on a stream.
    pub(super) async fn declare_publisher(
        &mut self,
        name: &str,
        stream: &str,
    ) -> Result<(), String> {
        let (name, stream) = (name.to_owned(), stream.to_owned());
        let declare = |id| DeclarePublisherCommand::new(id, ID, Some(name), stream).into();
        accepted("declare a publisher", self.request(declare).await?)
    }

    /// Sends a message to the stream.
    pub(super) async fn publish(
        &mut self,
        publishing_id: u64,
        body: Vec<u8>,
    ) -> Result<(), String> {
        let message = Message::builder().body(body).build();
        let message = PublishedMessage::new(publishing_id, message, None);
        self.tell(PublishCommand::new(ID, vec![message], PUBLISH_VERSION).into())
            .await
    }

    /// Asks for the stream from an offset on; the first chunk may begin before it.
    pub(super) async fn subscribe(&mut self, stream: &str, from: u64) -> Result<(), String> {
        let from = match from {
            0 => OffsetSpecification::First,
            offset => OffsetSpecification::Offset(offset),
        };
        let stream = stream.to_owned();
        let subscribe = |id| SubscribeCommand::new(id, ID, stream, from, 1, HashMap::new()).into();
        accepted("subscribe", self.request(subscribe).await?)
    }

    /// Asks for the next chunk.
    pub(super) async fn next_chunk(&mut self) -> Result<(), String> {
        self.tell(CreditCommand::new(ID, 1).into()).await
    }

    /// What the broker sends next. Never returns while nothing comes: the caller sets the deadline. Cancel-safe.
    pub(super) async fn push(&mut self) -> Push {
        if let Some(push) = self.early.pop_front() {
            return push;
        }
        loop {
            match self.next().await {
                Ok(response) => {
                    if let Some(push) = understood(response.kind()) {
                        return push;
                    }
                }
                Err(reason) => return Push::Lost(reason),
            }
        }
    }

    async fn request(
        &mut self,
        request: impl FnOnce(u32) -> Request,
    ) -> Result<ResponseKind, String> {
        match timeout(REQUEST_DEADLINE, self.ask(request)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err("no answer".to_owned()),
        }
    }

    async fn ask(&mut self, request: impl FnOnce(u32) -> Request) -> Result<ResponseKind, String> {
        self.correlation += 1;
        let id = self.correlation;
        self.tell(request(id)).await?;
        loop {
            let response = self.next().await?;
            if response.correlation_id() == Some(id) {
                return Ok(response.kind());
            }
            self.early.extend(understood(response.kind()));
        }
    }

    async fn tell(&self, request: Request) -> Result<(), String> {
        let told = timeout(REQUEST_DEADLINE, self.requests.send(request)).await;
        match told {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err("the connection is closed".to_owned()),
            Err(_elapsed) => Err("the broker takes nothing".to_owned()),
        }
    }

    async fn next(&mut self) -> Result<Response, String> {
        let answer = self.answers.recv().await;
        answer.unwrap_or_else(|| Err("the connection is closed".to_owned()))
    }
}

fn understood(kind: ResponseKind) -> Option<Push> {
    match kind {
        ResponseKind::PublishConfirm(confirm) => Some(Push::Confirmed(confirm.publishing_ids)),
        ResponseKind::PublishError(refusal) => {
            let refused = refusal.publishing_errors.into_iter();
            Some(Push::Refused(
                refused.map(|error| error.publishing_id).collect(),
            ))
        }
        ResponseKind::Deliver(chunk) => {
            let bodies = chunk.messages.iter();
            let bodies = bodies.map(|message| message.data().unwrap_or_default().to_vec());
            Some(Push::Chunk(chunk.chunk_first_offset, bodies.collect()))
        }
        ResponseKind::MetadataUpdate(_) => Some(Push::Lost(
            "the stream is not available here any more".to_owned(),
        )),
        ResponseKind::Close(_) => Some(Push::Lost("the broker closes the connection".to_owned())),
        _ => None,
    }
}

fn accepted(what: &str, answer: ResponseKind) -> Result<(), String> {
    match answer {
        ResponseKind::Generic(answer) if *answer.code() == ResponseCode::Ok => Ok(()),
        ResponseKind::Generic(answer) => Err(format!("cannot {what}: {:?}", answer.code())),
        other => Err(format!("cannot {what}: an odd answer, {other:?}")),
    }
}

/// Writes requests, and a heartbeat now and then, until nobody asks any more.
async fn send(mut output: OwnedWriteHalf, mut requests: mpsc::Receiver<Request>) {
    let mut beats = interval(HEARTBEAT / 2);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut frame = Vec::new();
    let mut is_greeted = false;
    loop {
        let request = tokio::select! {
            request = requests.recv() => match request {
                Some(request) => request,
                None => return,
            },
            _ = beats.tick(), if is_greeted => HeartBeatCommand::default().into(),
        };
        is_greeted |= matches!(
            request.kind(),
            rabbitmq_stream_protocol::RequestKind::Open(_)
        );
        frame.clear();
        if request.encode(&mut frame).is_err() || output.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Hands on what comes, in its order, up to an error.
async fn receive(mut input: OwnedReadHalf, answers: mpsc::Sender<Result<Response, String>>) {
    loop {
        let answer = match timeout(2 * HEARTBEAT, frame(&mut input)).await {
            Ok(Ok(frame)) => match Response::decode(&frame) {
                Ok((_, response)) => Ok(response),
                Err(error) => Err(format!("a frame that is not understood: {error:?}")),
            },
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err("the broker is silent".to_owned()),
        };
        let is_last = answer.is_err();
        if answers.send(answer).await.is_err() || is_last {
            return;
        }
    }
}

/// One frame with its length before it.
async fn frame(input: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = input.read_u32().await?;
    if length > FRAME_BYTES_MAX {
        let text = format!("a frame of {length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(frame.len() + length as usize, 0);
    input.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use rabbitmq_stream_protocol::RequestKind;
    use rabbitmq_stream_protocol::commands::generic::GenericResponse;
    use rabbitmq_stream_protocol::commands::publish_confirm::PublishConfirm;
    use rabbitmq_stream_protocol::types::Header;
    use tokio::net::TcpListener;

    use super::*;

    const CONFIRM: u16 = 3;
    const SUBSCRIBE: u16 = 0x8007;

    /// A link with a broker that answers the first request with these frames.
    async fn answered(frames: Vec<Vec<u8>>) -> StreamLink {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let (mut input, mut output) = socket.into_split();
            let asked = frame(&mut input).await.unwrap();
            let (_, request) = Request::decode(&asked).unwrap();
            assert!(matches!(request.kind(), RequestKind::Subscribe(_)));
            for frame in frames {
                output.write_all(&frame).await.unwrap();
            }
            output.shutdown().await.unwrap();
        });
        StreamLink::over(TcpStream::connect(address).await.unwrap()).unwrap()
    }

    fn encoded(key: u16, body: &impl Encoder) -> Vec<u8> {
        let mut content = Vec::new();
        Header::new(key, 1).encode(&mut content).unwrap();
        body.encode(&mut content).unwrap();
        let mut frame = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
        frame.append(&mut content);
        frame
    }

    fn subscribed(code: u16) -> Vec<u8> {
        let mut body = 1u32.to_be_bytes().to_vec();
        body.extend(code.to_be_bytes());
        let (_, answer) = GenericResponse::decode(&body).unwrap();
        encoded(SUBSCRIBE, &answer)
    }

    #[tokio::test]
    async fn what_comes_before_an_answer_is_kept_in_order() {
        let confirm = |id| encoded(CONFIRM, &PublishConfirm::new(1, vec![id]));
        let frames = vec![confirm(1), confirm(2), subscribed(1), confirm(3)];
        let mut link = answered(frames).await;
        assert_eq!(link.subscribe("s", 0).await, Ok(()));
        for expected in 1..=3 {
            let push = link.push().await;
            assert!(
                matches!(&push, Push::Confirmed(ids) if *ids == [expected]),
                "{push:?}"
            );
        }
        assert!(matches!(link.push().await, Push::Lost(_)));
        assert!(matches!(link.push().await, Push::Lost(_)));
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let mut link = answered(vec![subscribed(2)]).await;
        let refused = link.subscribe("s", 0).await.unwrap_err();
        assert_eq!(refused, "cannot subscribe: StreamDoesNotExist");
    }

    #[tokio::test]
    async fn junk_ends_the_connection() {
        for junk in [vec![0, 0, 0, 4, 9, 9, 9, 9], vec![255; 40], vec![0, 0]] {
            let mut link = answered(vec![junk]).await;
            assert!(link.subscribe("s", 0).await.is_err());
            assert!(matches!(link.push().await, Push::Lost(_)));
        }
    }
}
