//! Answers whoever scrapes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::page::{self, Page};

/// Connections that are served at once; more wait in the kernel's bounded queue.
pub(super) const CONNECTIONS_MAX: usize = 8;

/// For a whole connection, which has one request.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(5);

/// A request has no body that anybody reads, and few headers.
const BUFFER_BYTES_MAX: usize = 16 * 1024;

/// After an error of accepting, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves the page for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, page: Page) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = page.clone();
                tokio::spawn(async move {
                    let _whoever_is_slow_has_nothing =
                        timeout(CONNECTION_DEADLINE, connection(stream, &page)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics was not accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, page: &Page) {
    let answering =
        service_fn(move |request| async move { Ok::<_, Infallible>(answer(&request, page)) });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_DEADLINE)
        .keep_alive(false)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answering)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a request for metrics was not answered");
    }
}

fn answer(request: &Request<Incoming>, page: &Page) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return said(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = said(StatusCode::METHOD_NOT_ALLOWED, "metrics are only read\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    match page.text() {
        Ok(text) => {
            let mut answer = Response::new(Full::from(text));
            let kind = HeaderValue::from_static(page::CONTENT_TYPE);
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            answer
        }
        Err(_) => said(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics could not be written\n",
        ),
    }
}

fn said(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    answer
}
