//! What every request must be like, and what every answer tells the browser.
//!
//! A page of elsewhere can make a browser ask 127.0.0.1 under any name that it lets point there, and would read the
//! answer as its own (DNS rebinding). The browser tells the name as the request's host, and only this machine's
//! own names are answered. The port is left open: a tunnel may lead here from another one.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The names that this machine has for itself.
const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// Of pages that are made here: a style sheet of here, a form that leads to here, and nothing else.
const STRICT: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every answer says, unless it says otherwise itself.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, STRICT),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Lets requests through that are meant for this machine, and completes the answers.
pub async fn guard(request: Request, next: Next) -> Response {
    let mut response = if is_for_here(request.uri(), request.headers()) {
        next.run(request).await
    } else {
        let told = "this server answers requests to 127.0.0.1 or localhost only\n";
        (StatusCode::MISDIRECTED_REQUEST, told).into_response()
    };
    for (name, value) in HEADERS {
        let headers = response.headers_mut();
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

fn is_for_here(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = host.to_str().ok().and_then(|host| host.parse().ok());
    host.is_some_and(|host| is_own(&host)) && uri.authority().is_none_or(is_own)
}

fn is_own(authority: &Authority) -> bool {
    let is_bare = !authority.as_str().contains('@');
    is_bare
        && HOSTS
            .iter()
            .any(|own| authority.host().eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_s_names_are_answered() {
        let check = |uri: &str, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_str(host).unwrap());
            }
            is_for_here(&uri.parse().unwrap(), &headers)
        };
        for host in ["127.0.0.1", "127.0.0.1:8484", "localhost:1", "LocalHost"] {
            assert!(check("/", &[host]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8484",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.example@127.0.0.1",
            "localhost@evil.example",
            "127.0.0.2",
            "[::1]",
            "0.0.0.0",
            "127.1",
            "localhost.",
        ] {
            assert!(!check("/", &[host]), "{host}");
        }
        assert!(!check("/", &[]));
        assert!(!check("/", &["localhost", "localhost"]));
        assert!(!check("http://evil.example/", &["localhost"]));
        assert!(check("http://localhost/", &["localhost"]));
    }
}
