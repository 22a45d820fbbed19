//! Chromium without a window, driven over a pipe by its DevTools protocol.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// For an answer of the browser, on a machine that has other things to do as well.
const DEADLINE: Duration = Duration::from_secs(60);

/// A browser; it ends with the value.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    number: u64,
    /// What happened that nobody asked for: errors, dialogs, requests.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy)]
pub struct Look {
    /// Pixels.
    pub width: u32,
    /// Whether the reader likes it dark.
    pub dark: bool,
    /// `screen` or `print`.
    pub media: &'static str,
}

impl Browser {
    /// Starts it.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#, "sh"])
            .args([
                "chromium",
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
            ])
            .args(["--no-first-run", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers
                .read_until(0, &mut message)
                .is_ok_and(|read| read > 0)
            {
                message.pop();
                let message: Value = serde_json::from_slice(&std::mem::take(&mut message)).unwrap();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let to = child.stdin.take().unwrap();
        Self {
            child,
            to,
            from,
            number: 0,
            events: Vec::new(),
            _profile: profile,
        }
    }

    /// Opens a file in a new tab, up to its load event.
    pub fn open(&mut self, path: &Path, look: Look) -> Tab<'_> {
        self.visit(&format!("file://{}", path.display()), look)
    }

    /// The same for any address.
    pub fn visit(&mut self, url: &str, look: Look) -> Tab<'_> {
        self.events.clear();
        let target = self.call("", "Target.createTarget", json!({"url": "about:blank"}));
        let target = target["targetId"].clone();
        let attach = json!({"targetId": target, "flatten": true});
        let session = self.call("", "Target.attachToTarget", attach)["sessionId"].clone();
        let mut tab = Tab {
            session: session.as_str().unwrap().to_owned(),
            browser: self,
        };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        tab.look(look);
        tab.call("Page.navigate", json!({"url": url}));
        tab.wait_for("Page.loadEventFired");
        tab.evaluate(
            "new Promise((done) => { const look = () => !document.getElementById('plot') || \
             document.querySelector('#plot .main-svg') ? done() : setTimeout(look, 10); look(); })",
        );
        tab
    }

    fn call(&mut self, session: &str, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if !session.is_empty() {
            message["sessionId"] = session.into();
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        let until = Instant::now() + DEADLINE;
        loop {
            let message = self.next(until, method);
            if message["id"] == self.number {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn next(&self, until: Instant, waiting_for: &str) -> Value {
        let left = until.saturating_duration_since(Instant::now());
        match self.from.recv_timeout(left) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{waiting_for} did not come; so far: {:?}", self.events)
            }
            Err(RecvTimeoutError::Disconnected) => panic!("chromium ended; is it installed?"),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _it_may_be_gone = self.child.kill();
        let _it_may_be_gone = self.child.wait();
    }
}

/// A page in the browser.
pub struct Tab<'b> {
    browser: &'b mut Browser,
    session: String,
}

impl Tab<'_> {
    fn call(&mut self, method: &str, params: Value) -> Value {
        let session = self.session.clone();
        self.browser.call(&session, method, params)
    }

    fn wait_for(&mut self, event: &str) {
        let until = Instant::now() + DEADLINE;
        while !self
            .browser
            .events
            .iter()
            .any(|seen| seen["method"] == event)
        {
            let message = self.browser.next(until, event);
            self.browser.events.push(message);
        }
    }

    /// Follows what leads to another page, up to its load event.
    pub fn follow(&mut self, expression: &str) {
        self.browser.events.clear();
        self.evaluate(expression);
        self.wait_for("Page.loadEventFired");
    }

    /// Looks at the page otherwise.
    pub fn look(&mut self, look: Look) {
        let size = json!({
            "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"media": look.media, "features": features}),
        );
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].clone()
    }

    /// Errors, refusals, dialogs, and requests for anything but the page itself.
    pub fn complaints(&self) -> Vec<String> {
        let events = self.browser.events.iter();
        let told = events.filter_map(|event| {
            let params = &event["params"];
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
                "Page.javascriptDialogOpening" => Some(format!("dialog: {}", params["message"])),
                "Log.entryAdded" => Some(params["entry"]["text"].to_string()),
                "Network.requestWillBeSent" => {
                    let url = params["request"]["url"].as_str()?;
                    let is_own = params["type"] == "Document"
                        || url.ends_with("/style.css")
                        || url.starts_with("data:")
                        || url.starts_with("blob:");
                    (!is_own).then(|| format!("request: {url}"))
                }
                _ => None,
            }
        });
        told.collect()
    }

    /// Writes what is seen, from the top of the page, as PNG.
    pub fn screenshot(&mut self, path: &Path, width: u32, height: u32) {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let params = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.call("Page.captureScreenshot", params);
        write_base64(path, &answer["data"]);
    }
}

fn write_base64(path: &Path, data: &Value) {
    use base64ct::{Base64, Encoding};
    let bytes = Base64::decode_vec(data.as_str().unwrap()).unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
