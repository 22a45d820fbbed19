//! What is answered to which request.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
};
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures_util::stream;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::guard::guard;
use super::pages::{self, FILES_MAX, REPORT};
use super::path::{Named, named};
use crate::runs::{Filter, RunName, Runs, summary};

/// Of a file that is on its way.
const CHUNK_BYTES: usize = 64 << 10;

/// Of a file: it is shown and does nothing. It has no origin, so it reads nothing else of here.
const FILE_POLICY: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// Of a report: its own scripts draw its plots, in an origin of their own and without a network.
const REPORT_POLICY: &str = "sandbox allow-scripts allow-downloads; default-src 'none'; \
    script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; \
    worker-src blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// What the answers are made from.
#[derive(Debug, Clone)]
struct Served {
    runs: Arc<Runs>,
    page_deadline: Duration,
}

/// All routes, guarded.
pub fn routes(runs: Arc<Runs>, page_deadline: Duration) -> Router {
    let served = Served {
        runs,
        page_deadline,
    };
    Router::new()
        .route("/", get(list))
        .route(
            "/style.css",
            get(|| async { typed("text/css; charset=utf-8", pages::STYLE) }),
        )
        .fallback(get(by_path))
        .with_state(served)
        .layer(from_fn(guard))
}

/// The filter, as the page's form sends it.
#[derive(Debug, Deserialize)]
struct Asked {
    scenario: Option<String>,
    verdict: Option<String>,
}

async fn list(
    State(served): State<Served>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Ok(Query(asked)) = asked else {
        return told(StatusCode::BAD_REQUEST, "the filter cannot be read");
    };
    let filter = Filter {
        scenario: asked.scenario.filter(|text| !text.is_empty()),
        verdict: asked.verdict.filter(|text| !text.is_empty()),
    };
    let runs = served.runs.clone();
    served
        .page(move || {
            let directory = runs.path().to_string_lossy().into_owned();
            let found = runs.summaries(&filter)?;
            pages::list(&directory, &found, &filter).map_err(io::Error::other)
        })
        .await
}

async fn by_path(State(served): State<Served>, uri: Uri) -> Response {
    match named(uri.path()) {
        Some(Named::Run(name)) => run(served, name).await,
        Some(Named::File(name, path)) => file(served, name, path).await,
        None if named(&format!("{}/", uri.path())).is_some() => {
            Redirect::permanent(&format!("{}/", uri.path())).into_response()
        }
        None => nothing(),
    }
}

async fn run(served: Served, name: RunName) -> Response {
    let runs = served.runs.clone();
    served
        .page(move || {
            let directory = runs.directory(&name);
            let directory = directory.map_err(|_| io::ErrorKind::NotFound)?;
            let files = directory
                .files(FILES_MAX)
                .map_err(|error| error.to_string());
            pages::run(&summary(Ok(directory), &name), files).map_err(io::Error::other)
        })
        .await
}

async fn file(served: Served, name: RunName, path: Vec<OsString>) -> Response {
    let (content_type, policy) = kind(&path);
    let is_download = content_type == DOWNLOAD;
    let opened = spawn_blocking(move || {
        let file = served.runs.directory(&name)?.file(&path)?;
        let bytes = file.metadata()?.len();
        io::Result::Ok((file, bytes))
    });
    match timeout(served.page_deadline, opened).await {
        Ok(Ok(Ok((file, bytes)))) => {
            let mut response = (
                [
                    (CONTENT_TYPE, content_type.to_owned()),
                    (CONTENT_SECURITY_POLICY, policy.to_owned()),
                    (CONTENT_LENGTH, bytes.to_string()),
                ],
                body(file, bytes),
            )
                .into_response();
            if is_download {
                let value = axum::http::HeaderValue::from_static("attachment");
                response.headers_mut().insert(CONTENT_DISPOSITION, value);
            }
            response
        }
        Ok(Ok(Err(_))) => nothing(),
        Ok(Err(_)) | Err(_) => late(),
    }
}

/// The file up to the length that it had: one that a run still writes is longer in the end.
fn body(file: File, bytes: u64) -> Body {
    let file = tokio::fs::File::from_std(file).take(bytes);
    Body::from_stream(stream::unfold(file, chunk))
}

async fn chunk<R: AsyncRead + Unpin>(mut file: R) -> Option<(io::Result<Vec<u8>>, R)> {
    let mut bytes = vec![0; CHUNK_BYTES];
    match file.read(&mut bytes).await {
        Ok(0) => None,
        Ok(count) => {
            bytes.truncate(count);
            Some((Ok(bytes), file))
        }
        Err(error) => Some((Err(error), file)),
    }
}

impl Served {
    /// A page that is made from files, within its time.
    async fn page(&self, make: impl FnOnce() -> io::Result<String> + Send + 'static) -> Response {
        match timeout(self.page_deadline, spawn_blocking(make)).await {
            Ok(Ok(Ok(page))) => typed(HTML, page),
            Ok(Ok(Err(error))) if error.kind() == io::ErrorKind::NotFound => nothing(),
            Ok(Ok(Err(error))) => told(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            Ok(Err(_)) | Err(_) => late(),
        }
    }
}

/// What the browser does with data of no known kind.
const DOWNLOAD: &str = "application/octet-stream";

/// The type of a file's content and what it may do. Only the report that jtest makes is a page; everything
/// else is shown as text, or saved.
fn kind(path: &[OsString]) -> (&'static str, &'static str) {
    if path == [REPORT] {
        return (HTML, REPORT_POLICY);
    }
    let extension = path.last().and_then(|name| Path::new(name).extension());
    let content_type = match extension.and_then(|extension| extension.to_str()) {
        Some("json") => "application/json",
        None
        | Some("conf" | "config" | "jsonl" | "log" | "txt" | "xml" | "html" | "css" | "csv") => {
            TEXT
        }
        Some(_) => DOWNLOAD,
    };
    (content_type, FILE_POLICY)
}

fn typed(content_type: &'static str, text: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, content_type)], text.into()).into_response()
}

fn told(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, TEXT)], format!("{text}\n")).into_response()
}

fn nothing() -> Response {
    told(
        StatusCode::NOT_FOUND,
        "there is nothing here; the runs are listed at /",
    )
}

fn late() -> Response {
    told(
        StatusCode::SERVICE_UNAVAILABLE,
        "it could not be read in time",
    )
}
