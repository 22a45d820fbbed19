//! `jtest serve`: the runs in a browser, for whoever sits at this machine.
//!
//! It listens on 127.0.0.1 alone and only reads. What a path of a request may name is one run directory and the plain
//! files in it ([`path`]); they are opened step by step without following a link ([`crate::runs::dir`]). A request
//! must name this machine as its host ([`guard`]), so that no page of elsewhere can read anything by a name that it
//! lets point here. Connections, and the time that each has, are bounded.

mod guard;
mod pages;
mod path;
mod routes;

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

pub use self::pages::size;
use crate::runs::Runs;

/// What a server allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more of them wait.
    pub connections: usize,
    /// For the head of a request to come, counted from the last answer as well.
    pub head: Duration,
    /// For a page to be made.
    pub page: Duration,
    /// For a connection in all, downloads included.
    pub connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32,
            head: Duration::from_secs(10),
            page: Duration::from_secs(60),
            connection: Duration::from_secs(300),
        }
    }
}

/// Bytes of a request's head, at most; also what is held of it.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// After a connection could not be accepted: out of files, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on 127.0.0.1, on a free port where it is 0.
///
/// # Errors
///
/// The port is taken, or not to be had by this user.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Serves the runs until then.
pub async fn serve(listener: TcpListener, runs: Runs, limits: Limits, until: impl Future) {
    let routes = routes::routes(Arc::new(runs), limits.page);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let accepting = async {
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let routes = routes.clone();
            tokio::spawn(async move {
                let served = timeout(limits.connection, converse(stream, routes, limits));
                let _the_other_side_knows = served.await;
                drop(slot);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = until => {}
    }
}

async fn converse(stream: TcpStream, routes: axum::Router, limits: Limits) -> hyper::Result<()> {
    let service = TowerToHyperService::new(routes);
    let mut connection = http1::Builder::new();
    connection
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX);
    connection
        .serve_connection(TokioIo::new(stream), service)
        .await
}

#[cfg(test)]
mod tests;
