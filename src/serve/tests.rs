use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::check::judge::judge;
use crate::report;
use crate::runs::testing::{DAMAGED, INVALID, KILLED, VALID, made, runs};

/// An answer must come within this.
const ANSWER: Duration = Duration::from_secs(20);

/// Serves the runs while a client asks.
async fn with<T>(path: &Path, limits: Limits, client: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let listener = listen(0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = serve(
        listener,
        Runs::open(path).unwrap(),
        limits,
        std::future::pending::<()>(),
    );
    tokio::select! {
        answer = timeout(ANSWER, client(address)) => answer.expect("an answer in time"),
        () = served => panic!("it ended"),
    }
}

/// Sends this as it is and reads until the other side has said everything.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    raw(address, request.as_bytes()).await
}

async fn fetch(address: SocketAddr, path: &str) -> String {
    ask(address, "GET", path, "localhost").await
}

fn status(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no answer: {answer}"))
}

#[tokio::test]
async fn the_list_the_pages_and_the_files() {
    let directory = runs();
    let invalid = directory.path().join(INVALID);
    report::write(&invalid, &judge(&invalid).unwrap()).unwrap();
    with(directory.path(), Limits::default(), async |address| {
        let list = fetch(address, "/").await;
        assert_eq!(status(&list), 200, "{list}");
        for run in [VALID, INVALID, KILLED, DAMAGED] {
            assert!(
                list.contains(&format!("href=\"/runs/{run}/\"")),
                "{run}: {list}"
            );
        }
        assert!(list.contains("results.json is damaged"), "{list}");
        let filtered = fetch(address, "/?scenario=cut&verdict=invalid").await;
        assert!(
            filtered.contains(INVALID) && !filtered.contains(VALID),
            "{filtered}"
        );
        assert!(
            fetch(address, "/?verdict=never")
                .await
                .contains("There are no such runs")
        );

        let page = fetch(address, &format!("/runs/{INVALID}/")).await;
        assert!(page.contains("href=\"./report.html\""), "{page}");
        assert!(
            page.contains("href=\"./nodes/n1/log/rabbit%40n1.log\""),
            "{page}"
        );
        let moved = fetch(address, &format!("/runs/{INVALID}")).await;
        assert!(
            moved.contains(&format!("location: /runs/{INVALID}/\r\n")),
            "{moved}"
        );
        for (file, content_type) in [
            ("report.html", "text/html; charset=utf-8"),
            ("results.json", "application/json"),
            ("events.jsonl", "text/plain; charset=utf-8"),
            ("junit.xml", "text/plain; charset=utf-8"),
            ("history.arrow", "application/octet-stream"),
            ("nodes/n1/log/rabbit%40n1.log", "text/plain; charset=utf-8"),
        ] {
            let answer = fetch(address, &format!("/runs/{INVALID}/{file}")).await;
            assert_eq!(status(&answer), 200, "{file}");
            assert!(
                answer.contains(&format!("content-type: {content_type}\r\n")),
                "{file}: {answer}"
            );
            assert!(
                answer.contains("content-security-policy: sandbox"),
                "{file}: {answer}"
            );
        }
        let report = fetch(address, &format!("/runs/{INVALID}/report.html")).await;
        let (_, body) = report.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            body,
            fs::read_to_string(invalid.join("report.html")).unwrap()
        );
        let style = fetch(address, "/style.css").await;
        assert!(style.contains("content-type: text/css"), "{style}");
    })
    .await;
}

#[tokio::test]
async fn a_damaged_run_has_its_page() {
    let directory = runs();
    made(directory.path(), "odd/20000101T000000Z/run.json");
    with(directory.path(), Limits::default(), async |address| {
        for run in [DAMAGED, KILLED, "odd/20000101T000000Z"] {
            let page = fetch(address, &format!("/runs/{run}/")).await;
            assert_eq!(status(&page), 200, "{run}: {page}");
        }
        let page = fetch(address, "/runs/odd/20000101T000001Z/").await;
        assert_eq!(status(&page), 404, "{page}");
    })
    .await;
}

#[tokio::test]
async fn no_path_leads_out_of_a_run() {
    let directory = runs();
    let path = directory.path();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "SECRET").unwrap();
    fs::write(path.join("beside"), "SECRET").unwrap();
    fs::write(path.join("cut/beside"), "SECRET").unwrap();
    symlink(&secret, path.join(VALID).join("link.txt")).unwrap();
    symlink(outside.path(), path.join(VALID).join("links")).unwrap();
    symlink(outside.path(), path.join("cut/20200101T000000Z")).unwrap();
    symlink(outside.path(), path.join("outside")).unwrap();
    fs::create_dir(outside.path().join("20200101T000000Z")).unwrap();
    fs::write(outside.path().join("20200101T000000Z/secret"), "SECRET").unwrap();
    let below = format!("/runs/{VALID}");
    let up = outside
        .path()
        .strip_prefix("/")
        .unwrap()
        .display()
        .to_string();
    let dots = "../".repeat(12);
    let hostile = [
        format!("{below}/link.txt"),
        format!("{below}/links/secret"),
        "/runs/cut/20200101T000000Z/".to_owned(),
        "/runs/cut/20200101T000000Z/secret".to_owned(),
        "/runs/outside/20200101T000000Z/secret".to_owned(),
        "/runs/latest/results.json".to_owned(),
        "/beside".to_owned(),
        "/runs/beside".to_owned(),
        "/runs/cut/beside".to_owned(),
        format!("{below}/../beside"),
        format!("{below}/../../beside"),
        format!("{below}/%2e%2e/beside"),
        format!("{below}/%2e%2e%2fbeside"),
        format!("{below}/..%2fbeside"),
        format!("{below}/..%5cbeside"),
        format!("{below}/%252e%252e/beside"),
        format!("{below}/{dots}{up}/secret"),
        format!("/{dots}{up}/secret"),
        format!("{below}/{}", secret.display()),
        format!(
            "{below}/{}",
            secret.display().to_string().replace('/', "%2f")
        ),
        format!("{below}/file://{}", secret.display()),
        format!("{below}/results.json%00"),
        format!("{below}/results.json%00.txt"),
        format!("{below}/nodes"),
        format!("{below}/nodes/"),
        format!("{below}/results.json/"),
        format!("{below}/results.json/.."),
        format!("{below}/%ff%fe"),
        format!("{below}/%"),
        format!("{below}/{}", "a".repeat(4_000)),
        format!("{below}/{}", "a/".repeat(2_000)),
        "//".to_owned(),
        secret.display().to_string(),
    ];
    with(path, Limits::default(), async |address| {
        for path in &hostile {
            let answer = fetch(address, path).await;
            assert_eq!(status(&answer), 404, "{path}: {answer}");
            assert!(!answer.contains("SECRET"), "{path}: {answer}");
        }
        for path in [
            "secret".to_owned(),
            "*".to_owned(),
            format!("{below}/\0"),
            format!("{below}/{}", "a".repeat(100_000)),
        ] {
            let answer = fetch(address, &path).await;
            assert!((400..500).contains(&status(&answer)), "{path}: {answer}");
        }
        let page = fetch(address, &format!("{below}/")).await;
        assert!(!page.contains("./link"), "links are not listed: {page}");
        assert_eq!(
            status(&fetch(address, &format!("{below}/results.json")).await),
            200
        );
    })
    .await;
}

#[tokio::test]
async fn only_reading_and_only_for_this_machine() {
    let directory = runs();
    let file = format!("/runs/{VALID}/results.json");
    with(directory.path(), Limits::default(), async |address| {
        for method in [
            "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "LIST",
        ] {
            for path in ["/", file.as_str()] {
                let answer = ask(address, method, path, "localhost").await;
                assert!(
                    matches!(status(&answer), 400 | 405),
                    "{method} {path}: {answer}"
                );
            }
        }
        let head = ask(address, "HEAD", &file, "localhost").await;
        assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"), "{head}");
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:80",
            "localhost@evil.example",
            "",
        ] {
            for path in ["/", file.as_str(), "/style.css"] {
                let answer = ask(address, "GET", path, host).await;
                assert!(matches!(status(&answer), 400 | 421), "{host}: {answer}");
                assert!(!answer.contains("verdict"), "{host}: {answer}");
            }
        }
        let local = ask(address, "GET", &file, &address.to_string()).await;
        assert_eq!(status(&local), 200, "{local}");
        assert_eq!(status(&raw(address, b"GET / HTTP/1.0\r\n\r\n").await), 421);
        for path in ["/", file.as_str(), "/nothing", "/style.css"] {
            let answer = fetch(address, path).await;
            for header in [
                "x-content-type-options: nosniff",
                "content-security-policy: ",
                "cache-control: no-store",
                "x-frame-options: DENY",
                "cross-origin-resource-policy: same-origin",
            ] {
                assert!(answer.contains(header), "{path} lacks {header}: {answer}");
            }
            assert!(!answer.contains("access-control"), "{answer}");
        }
    })
    .await;
    assert!(
        listen(0)
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .ip()
            .is_loopback()
    );
}

#[tokio::test]
async fn what_runs_are_called_is_only_text() {
    let directory = runs();
    let scenario = "<script>alert(1)<";
    let run = made(directory.path(), &format!("{scenario}/20270101T000000Z"));
    fs::write(run.join("\"><img src=x onerror=alert(1)>"), "x").unwrap();
    fs::write(run.join("%2e%2e"), "percent").unwrap();
    fs::write(
        run.join("run.json"),
        "{\"</td><script>alert(2)</script>\": ",
    )
    .unwrap();
    let link = "/runs/%3Cscript%3Ealert%281%29%3C/20270101T000000Z/";
    with(directory.path(), Limits::default(), async |address| {
        for path in ["/", link, "/?scenario=%22%3E%3Cscript%3Ealert(3)"] {
            let page = fetch(address, path).await;
            assert_eq!(status(&page), 200, "{page}");
            assert!(
                !page.contains("<script") && !page.contains("<img"),
                "{page}"
            );
        }
        assert!(
            fetch(address, "/")
                .await
                .contains(&format!("href=\"{link}\""))
        );
        let file = fetch(
            address,
            &format!("{link}%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E"),
        )
        .await;
        assert!(
            file.contains("nosniff") && file.ends_with("\r\n\r\nx"),
            "{file}"
        );
        assert!(
            fetch(address, &format!("{link}%252e%252e"))
                .await
                .ends_with("percent")
        );
    })
    .await;
}

#[tokio::test]
async fn those_who_say_nothing_do_not_keep_others_out() {
    let directory = runs();
    let limits = Limits {
        connections: 4,
        head: Duration::from_millis(300),
        ..Limits::default()
    };
    with(directory.path(), limits, async |address| {
        let mut silent = Vec::new();
        for _ in 0..12 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: loc")
                .await
                .unwrap();
            silent.push(stream);
        }
        assert_eq!(status(&fetch(address, "/").await), 200);
        // One that was answered and stays is given up as well.
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        idle.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_stops_is_given_up() {
    let directory = runs();
    let path = directory.path().join(VALID).join("jtest.log");
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let limits = Limits {
        connections: 1,
        connection: Duration::from_millis(500),
        ..Limits::default()
    };
    with(directory.path(), limits, async |address| {
        let mut stopped = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /runs/{VALID}/jtest.log HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stopped.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&fetch(address, "/").await), 200);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_grows_is_sent_as_it_was() {
    let directory = runs();
    let path = directory.path().join(VALID).join("jtest.log");
    fs::write(&path, vec![b'x'; 3 * 64 * 1024 + 7]).unwrap();
    with(directory.path(), Limits::default(), async |address| {
        let answer = fetch(address, &format!("/runs/{VALID}/jtest.log")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-length: 196615"), "{head}");
        assert_eq!(body.len(), 196_615);
    })
    .await;
}
