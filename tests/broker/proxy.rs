//! An AMQP proxy before a real broker that does to a publisher's messages what no broker may do.
//!
//! It reads the frames of AMQP 0-9-1 as they pass. Of a channel with confirms it numbers the messages
//! as the client and as the broker count them, so that what it throws away, adds or answers itself
//! leaves every other confirm right.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jtest::workload::message::{AttemptId, Codec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xce;

const PUBLISH: (u16, u16) = (60, 40);
const RETURN: (u16, u16) = (60, 50);
const ACK: (u16, u16) = (60, 80);
const NACK: (u16, u16) = (60, 120);
const SELECT_OK: (u16, u16) = (85, 11);

/// Frames that may wait on one side.
const QUEUE_MAX: usize = 4096;

/// What is done to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Confirms it and throws it away.
    Discard,
    /// Gives it to the broker twice.
    Repeat,
    /// Gives the broker one more that nobody sent.
    Invent,
    /// Changes a byte of its body.
    Corrupt,
    /// Tells the client that it was refused, and keeps it.
    NackKept,
    /// Returns it to the client as unroutable, and keeps it.
    ReturnKept,
    /// Never answers.
    Hang,
    /// Gives it to the broker after the one behind it.
    Reorder,
    /// Gives it to the broker a little later.
    Delay,
    /// Cuts the connection instead of giving it on.
    Close,
}

/// What a proxy is to do, and did.
pub struct Plan {
    pub defect: Option<Defect>,
    /// Of all messages that came through, by their number: those that are treated so.
    pub places: BTreeSet<u64>,
    pub codec: Codec,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    seen: u64,
    treated: Vec<AttemptId>,
}

impl Plan {
    pub fn new(defect: Option<Defect>, places: BTreeSet<u64>, codec: Codec) -> Self {
        Self {
            defect,
            places,
            codec,
            done: Mutex::default(),
        }
    }

    /// The messages that were treated.
    pub fn treated(&self) -> Vec<AttemptId> {
        self.done.lock().unwrap().treated.clone()
    }

    /// What is to be done to the next message.
    fn next(&self, body: &[u8]) -> Option<(Defect, AttemptId)> {
        let mut done = self.done.lock().unwrap();
        let number = done.seen;
        done.seen += 1;
        let defect = self.defect.filter(|_| self.places.contains(&number))?;
        let id = self.codec.decode(body).expect("a message of the run");
        done.treated.push(id);
        Some((defect, id))
    }
}

/// A proxy that listens on loopback until it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub async fn start(broker: String, plan: Arc<Plan>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (broker, plan) = (broker.clone(), Arc::clone(&plan));
                connections.spawn(async move {
                    if let Ok(server) = TcpStream::connect(&broker).await {
                        relay(client, server, plan).await;
                    }
                });
            }
        });
        Self {
            address,
            task: listening.abort_handle(),
        }
    }
}

#[derive(Clone)]
struct Frame {
    kind: u8,
    channel: u16,
    payload: Vec<u8>,
}

impl Frame {
    async fn read(from: &mut OwnedReadHalf) -> Option<Self> {
        let mut head = [0; 7];
        from.read_exact(&mut head).await.ok()?;
        let size = u32::from_be_bytes(head[3..7].try_into().unwrap()) as usize;
        let mut payload = vec![0; size + 1];
        from.read_exact(&mut payload).await.ok()?;
        assert_eq!(payload.pop(), Some(END));
        Some(Self {
            kind: head[0],
            channel: u16::from_be_bytes([head[1], head[2]]),
            payload,
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind];
        bytes.extend(self.channel.to_be_bytes());
        bytes.extend(u32::try_from(self.payload.len()).unwrap().to_be_bytes());
        bytes.extend(&self.payload);
        bytes.push(END);
        bytes
    }

    fn method(&self) -> Option<(u16, u16)> {
        let of = |at: usize| u16::from_be_bytes([self.payload[at], self.payload[at + 1]]);
        (self.kind == METHOD).then(|| (of(0), of(2)))
    }

    /// An ack or a nack of one message.
    fn answer(method: (u16, u16), channel: u16, tag: u64) -> Self {
        let mut payload = Vec::new();
        payload.extend(method.0.to_be_bytes());
        payload.extend(method.1.to_be_bytes());
        payload.extend(tag.to_be_bytes());
        payload.push(0);
        Self {
            kind: METHOD,
            channel,
            payload,
        }
    }

    /// What tells a client that the message after it is unroutable.
    fn unroutable(channel: u16) -> Self {
        let mut payload = Vec::new();
        payload.extend(RETURN.0.to_be_bytes());
        payload.extend(RETURN.1.to_be_bytes());
        payload.extend(312u16.to_be_bytes());
        for text in ["NO_ROUTE", "", "a queue"] {
            payload.push(u8::try_from(text.len()).unwrap());
            payload.extend(text.bytes());
        }
        Self {
            kind: METHOD,
            channel,
            payload,
        }
    }

    /// The tag of an ack or nack, and whether it means all before it, too.
    fn tag(&self) -> (u64, bool) {
        let tag = u64::from_be_bytes(self.payload[4..12].try_into().unwrap());
        (tag, self.payload[12] & 1 == 1)
    }
}

/// What the broker's answer to a message becomes.
#[derive(Clone, Copy)]
enum Answer {
    /// Goes to the client, as the answer to its message of this number.
    Pass(u64),
    /// Becomes a nack.
    Nack(u64),
    /// Is for nobody.
    Swallow,
}

/// Of one channel: the client's messages so far, and the broker's that it has not answered.
#[derive(Default)]
struct Channel {
    from_client: u64,
    to_broker: u64,
    open: BTreeMap<u64, Answer>,
}

type Channels = Arc<Mutex<BTreeMap<u16, Channel>>>;

async fn relay(client: TcpStream, server: TcpStream, plan: Arc<Plan>) {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut greeting = [0; 8];
    if from_client.read_exact(&mut greeting).await.is_err() {
        return;
    }
    let channels = Channels::default();
    let (answers, to_be_answered) = mpsc::channel(QUEUE_MAX);
    let (forwards, to_be_forwarded) = mpsc::channel(QUEUE_MAX);
    forwards.send(greeting.to_vec()).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(write(to_client, to_be_answered));
    tasks.spawn(write(to_server, to_be_forwarded));
    tasks.spawn(broker_side(
        from_server,
        answers.clone(),
        Arc::clone(&channels),
    ));
    let side = ClientSide {
        plan,
        channels,
        answers,
        forwards,
        held: None,
    };
    tasks.spawn(side.run(from_client));
    // The first that ends ends the connection.
    tasks.join_next().await;
}

async fn write(mut to: OwnedWriteHalf, mut from: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = from.recv().await {
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Gives the broker's frames to the client, its answers renumbered.
async fn broker_side(mut from: OwnedReadHalf, to: mpsc::Sender<Vec<u8>>, channels: Channels) {
    while let Some(frame) = Frame::read(&mut from).await {
        let frames = match frame.method() {
            Some(SELECT_OK) => {
                let mut channels = channels.lock().unwrap();
                channels.insert(frame.channel, Channel::default());
                vec![frame]
            }
            Some(method @ (ACK | NACK)) => {
                let (tag, multiple) = frame.tag();
                let mut channels = channels.lock().unwrap();
                let channel = channels.entry(frame.channel).or_default();
                let first = if multiple { 0 } else { tag };
                let meant: Vec<u64> = channel
                    .open
                    .range(first..=tag)
                    .map(|(tag, _)| *tag)
                    .collect();
                let answers = meant
                    .into_iter()
                    .filter_map(|tag| channel.open.remove(&tag));
                answers
                    .filter_map(|answer| match answer {
                        Answer::Pass(tag) => Some(Frame::answer(method, frame.channel, tag)),
                        Answer::Nack(tag) => Some(Frame::answer(NACK, frame.channel, tag)),
                        Answer::Swallow => None,
                    })
                    .collect()
            }
            _ => vec![frame],
        };
        for frame in frames {
            if to.send(frame.bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// A message: its method, its header and its body's frames.
type Message = Vec<Frame>;

struct ClientSide {
    plan: Arc<Plan>,
    channels: Channels,
    answers: mpsc::Sender<Vec<u8>>,
    forwards: mpsc::Sender<Vec<u8>>,
    /// A message that waits for the one behind it.
    held: Option<(Message, u64)>,
}

impl ClientSide {
    async fn run(mut self, mut from: OwnedReadHalf) {
        while let Some(frame) = Frame::read(&mut from).await {
            let went_on = if frame.method() == Some(PUBLISH) {
                let Some(message) = rest(frame, &mut from).await else {
                    return;
                };
                self.publish(message).await
            } else {
                self.forwards.send(frame.bytes()).await.is_ok()
            };
            if !went_on {
                return;
            }
        }
    }

    async fn publish(&mut self, mut message: Message) -> bool {
        let number = self.channel(message[0].channel, |channel| {
            channel.from_client += 1;
            channel.from_client
        });
        let body: Vec<u8> = message[2..]
            .iter()
            .flat_map(|frame| frame.payload.clone())
            .collect();
        let treated = self.plan.next(&body);
        match treated {
            None => {
                if !self.give(message, Answer::Pass(number)).await {
                    return false;
                }
            }
            Some((Defect::Discard, _)) => {
                let ack = Frame::answer(ACK, message[0].channel, number);
                return self.answers.send(ack.bytes()).await.is_ok();
            }
            Some((Defect::Close, _)) => return false,
            Some((Defect::Reorder, _)) => {
                self.held = Some((message, number));
                return true;
            }
            Some((Defect::Delay, _)) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                return self.give(message, Answer::Pass(number)).await;
            }
            Some((Defect::NackKept, _)) => return self.give(message, Answer::Nack(number)).await,
            Some((Defect::ReturnKept, _)) => {
                let channel = message[0].channel;
                let returned = [Frame::unroutable(channel)];
                let ack = [Frame::answer(ACK, channel, number)];
                // In one piece: no other frame of the channel may come between a method and its content.
                let frames = returned.iter().chain(&message[1..]).chain(&ack);
                let bytes = frames.flat_map(Frame::bytes).collect();
                return self.answers.send(bytes).await.is_ok()
                    && self.give(message, Answer::Swallow).await;
            }
            Some((Defect::Hang, _)) => return self.give(message, Answer::Swallow).await,
            Some((Defect::Corrupt, _)) => {
                let last = message.last_mut().unwrap();
                last.payload[20] ^= 0x20;
                return self.give(message, Answer::Pass(number)).await;
            }
            Some((Defect::Repeat, _)) => {
                return self.give(message.clone(), Answer::Swallow).await
                    && self.give(message, Answer::Pass(number)).await;
            }
            Some((Defect::Invent, id)) => {
                let unsent = AttemptId {
                    sequence: id.sequence + (1 << 40),
                    ..id
                };
                let mut invented = message.clone();
                invented.truncate(3);
                invented[2].payload = self.plan.codec.encode(unsent);
                return self.give(invented, Answer::Swallow).await
                    && self.give(message, Answer::Pass(number)).await;
            }
        }
        match self.held.take() {
            Some((held, number)) => self.give(held, Answer::Pass(number)).await,
            None => true,
        }
    }

    /// Gives a message to the broker.
    async fn give(&self, message: Message, answer: Answer) -> bool {
        self.channel(message[0].channel, |channel| {
            channel.to_broker += 1;
            channel.open.insert(channel.to_broker, answer);
        });
        for frame in message {
            if self.forwards.send(frame.bytes()).await.is_err() {
                return false;
            }
        }
        true
    }

    fn channel<T>(&self, number: u16, work: impl FnOnce(&mut Channel) -> T) -> T {
        work(self.channels.lock().unwrap().entry(number).or_default())
    }
}

/// The header and the body of a publish.
async fn rest(method: Frame, from: &mut OwnedReadHalf) -> Option<Message> {
    let header = Frame::read(from).await?;
    assert_eq!(header.kind, HEADER);
    let size = u64::from_be_bytes(header.payload[4..12].try_into().unwrap()) as usize;
    let mut message = vec![method, header];
    let mut left = size;
    while left > 0 {
        let body = Frame::read(from).await?;
        assert_eq!(body.kind, BODY);
        left -= body.payload.len();
        message.push(body);
    }
    Some(message)
}
