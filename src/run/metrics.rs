//! `--metrics`: what a run is doing, for Prometheus, over HTTP while it is on.
//!
//! Counts and latencies are those of the [`Tally`], everything else comes from events. Whoever
//! scrapes is bounded in number, in size and in time, and nothing waits for them.

mod page;
mod serve;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::task::JoinHandle;

pub use self::page::Identity;
use self::page::Page;
use crate::event::{Record, Show};
use crate::progress::State;
use crate::workload::Tally;

/// An address that is listened on, from before the run on: what is taken is told at once, and the
/// network namespace is that of the user.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Listens on an address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Where it listens: the port is known also where none was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves metrics until it is dropped.
pub(super) struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves the metrics of a run, which come from the tally and from the events that `show` is shown.
pub(super) fn start(
    listener: Listener,
    identity: Identity,
    tally: Arc<Tally>,
    state: State,
    show: Box<dyn Show>,
) -> io::Result<(Server, Box<dyn Show>)> {
    let socket = tokio::net::TcpListener::from_std(listener.socket)?;
    let page = Page::new(identity, tally, state);
    let server = Server(tokio::spawn(serve::serve(socket, page.clone())));
    Ok((server, Box::new(Told { page, show })))
}

/// Tells the page of every event, and then whoever else watches.
struct Told {
    page: Page,
    show: Box<dyn Show>,
}

impl Show for Told {
    fn show(&mut self, record: &Record) {
        self.page.take(record);
        self.show.show(record);
    }
}

#[cfg(test)]
mod tests;
