//! A host for unit tests of the callers' own logic: it runs nothing, answers by script, and
//! records what it was asked, so that the exact commands can be compared with a snapshot.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Host, Output, Process, Remote, RemoteError, Script};
use crate::inventory::NodeName;

/// What a closure says to a script; `None` leaves it to the next answer.
type Answer = Box<dyn Fn(&Script) -> Option<Result<Output, RemoteError>> + Send + Sync>;

/// A host that runs nothing. What no answer covers ends with status 127.
pub struct Fake {
    node: NodeName,
    answers: Vec<Answer>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    scripts: Vec<Script>,
    files: BTreeMap<String, (u32, Vec<u8>)>,
    written: Vec<u8>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fake({})", self.node)
    }
}

impl Fake {
    /// A host that answers nothing yet.
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: NodeName(node.into()),
            answers: Vec::new(),
            state: Arc::default(),
        }
    }

    /// Answers scripts of this purpose with this standard output. Earlier answers go first.
    pub fn on(self, purpose: impl Into<String>, stdout: impl Into<Vec<u8>>) -> Self {
        let (purpose, stdout) = (purpose.into(), stdout.into());
        self.with(move |script| {
            (script.purpose == purpose).then(|| {
                Ok(Output {
                    stdout: stdout.clone(),
                    stderr: String::new(),
                })
            })
        })
    }

    /// Lets scripts of this purpose fail.
    pub fn fails(self, purpose: impl Into<String>, status: u32, stderr: impl Into<String>) -> Self {
        let (node, purpose, stderr) = (self.node.clone(), purpose.into(), stderr.into());
        self.with(move |script| {
            (script.purpose == purpose).then(|| {
                Err(RemoteError::Failed {
                    node: node.clone(),
                    purpose: purpose.clone(),
                    status,
                    stderr: stderr.clone(),
                })
            })
        })
    }

    /// Answers by a closure; `None` leaves the script to later answers.
    pub fn with(
        mut self,
        answer: impl Fn(&Script) -> Option<Result<Output, RemoteError>> + Send + Sync + 'static,
    ) -> Self {
        self.answers.push(Box::new(answer));
        self
    }

    /// Lets everything else succeed without output.
    pub fn otherwise_ok(self) -> Self {
        self.with(|_| Some(Ok(Output::default())))
    }

    /// The same as a handle for callers.
    pub fn into_host(self) -> Host {
        Arc::new(self)
    }

    /// The scripts so far, those of [`Remote::put`] not among them.
    pub fn scripts(&self) -> Vec<Script> {
        self.state().scripts.clone()
    }

    /// The files that were put: path, mode, content.
    pub fn files(&self) -> Vec<(String, u32, Vec<u8>)> {
        let state = self.state();
        let files = state.files.iter();
        files
            .map(|(path, (mode, bytes))| (path.clone(), *mode, bytes.clone()))
            .collect()
    }

    /// What was written to all processes while they ran.
    pub fn written(&self) -> Vec<u8> {
        self.state().written.clone()
    }

    /// Scripts and files as text for a snapshot; of the input only its length.
    pub fn transcript(&self) -> String {
        let state = self.state();
        let mut text = String::new();
        for script in &state.scripts {
            let who = if script.root { "root" } else { "login user" };
            let seconds = script.deadline.as_secs_f64();
            let _infallible = writeln!(
                text,
                "# {} ({who}, {seconds} s, input {} bytes)\n# args {:?}\n{}\n",
                script.purpose,
                script.stdin.len(),
                script.args,
                script.text.trim_end()
            );
        }
        for (path, (mode, bytes)) in &state.files {
            let content = String::from_utf8_lossy(bytes);
            let _infallible = writeln!(text, "# file {path} {mode:04o}\n{}\n", content.trim_end());
        }
        text
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, script: &Script) -> Result<Output, RemoteError> {
        self.state().scripts.push(script.clone());
        let answer = self.answers.iter().find_map(|answer| answer(script));
        answer.unwrap_or_else(|| {
            Err(RemoteError::Failed {
                node: self.node.clone(),
                purpose: script.purpose.clone(),
                status: 127,
                stderr: "the fake host has no answer to this".into(),
            })
        })
    }
}

#[async_trait]
impl Remote for Fake {
    fn node(&self) -> &NodeName {
        &self.node
    }

    async fn run(&self, script: &Script) -> Result<Output, RemoteError> {
        self.answer(script)
    }

    async fn open(&self, script: &Script) -> Result<Box<dyn Process>, RemoteError> {
        let result = self.answer(script);
        let stdout = result
            .as_ref()
            .map_or(Vec::new(), |output| output.stdout.clone());
        Ok(Box::new(FakeProcess {
            state: Arc::clone(&self.state),
            stdout: stdout.into(),
            result,
        }))
    }

    async fn put(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), RemoteError> {
        self.state()
            .files
            .insert(path.to_owned(), (mode, bytes.to_vec()));
        Ok(())
    }

    async fn close(&self) {}
}

/// Says its whole output at once; a failure shows at its end.
struct FakeProcess {
    state: Arc<Mutex<State>>,
    stdout: VecDeque<u8>,
    result: Result<Output, RemoteError>,
}

#[async_trait]
impl Process for FakeProcess {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), RemoteError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.written.extend_from_slice(bytes);
        Ok(())
    }

    async fn read_line(&mut self) -> Result<Option<String>, RemoteError> {
        if self.stdout.is_empty() {
            return Ok(None);
        }
        let end = self.stdout.iter().position(|&b| b == b'\n');
        let mut line: Vec<u8> = self
            .stdout
            .drain(..end.map_or(self.stdout.len(), |at| at + 1))
            .collect();
        if end.is_some() {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }

    async fn read_chunk(&mut self) -> Result<Option<Vec<u8>>, RemoteError> {
        let chunk: Vec<u8> = std::mem::take(&mut self.stdout).into();
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    async fn finish(self: Box<Self>) -> Result<Output, RemoteError> {
        let Self { stdout, result, .. } = *self;
        result.map(|output| Output {
            stdout: stdout.into(),
            ..output
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_in_order_and_records() {
        let fake = Fake::new("n1")
            .on("greet", "hello\nworld")
            .fails("fail", 3, "why")
            .with(|script| (script.args == ["x"]).then(|| Ok(Output::default())));
        let greeting = fake.run(&Script::new("greet", "echo")).await.unwrap();
        assert_eq!(greeting.text(), "hello\nworld");
        let failed = fake.run(&Script::new("fail", "no")).await.unwrap_err();
        assert_eq!(
            failed.to_string(),
            "n1: cannot fail: exit status 3; it said: why"
        );
        assert!(
            fake.run(&Script::new("else", "echo").arg("x"))
                .await
                .is_ok()
        );
        assert!(fake.run(&Script::new("else", "echo")).await.is_err());
        let mut process = fake
            .open(&Script::new("greet", "echo").stdin("pw"))
            .await
            .unwrap();
        process.write(b"go").await.unwrap();
        assert_eq!(process.read_line().await.unwrap().as_deref(), Some("hello"));
        assert_eq!(process.finish().await.unwrap().text(), "world");
        assert_eq!(fake.written(), b"go");
        fake.put("/etc/x", 0o640, b"content").await.unwrap();
        let transcript = fake.transcript();
        assert!(
            transcript.contains("# greet (root, 30 s, input 2 bytes)"),
            "{transcript}"
        );
        assert!(
            transcript.ends_with("# file /etc/x 0640\ncontent\n\n"),
            "{transcript}"
        );
        assert!(!transcript.contains("pw"));
    }
}
