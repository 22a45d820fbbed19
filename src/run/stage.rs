//! A stage of a run: it has a name, a deadline, and an end that is always recorded.
//!
//! Whatever happens in a stage (an error, a panic, the deadline, a signal) becomes a
//! [`StageError`], so that the stages that must come after it (heal, collect, check) do come.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::event::{Emit, Event, Stage};
use crate::run::interrupt::{Interrupt, Urgency};

/// Why a stage did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Its work failed.
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// It took too long.
    #[error("no end after {} s", .0.as_secs())]
    Deadline(Duration),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A bug in jtest.
    #[error("a panic, which is a bug in jtest: {0}")]
    Panicked(String),
}

/// Runs stages.
#[derive(Clone)]
pub struct Stages {
    /// Where their beginnings and ends are told.
    pub emit: Arc<dyn Emit>,
    /// What the user wants meanwhile.
    pub interrupt: Interrupt,
}

impl Stages {
    /// Runs `work` as the stage, until its deadline or until the user's urgency reaches
    /// `yields_to`; nobody interrupts a stage that yields to [`Urgency::None`].
    pub async fn stage<T>(
        &self,
        stage: Stage,
        deadline: Duration,
        yields_to: Urgency,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> Result<T, StageError> {
        self.emit.emit(Event::StageBegan { stage });
        let outcome = tokio::select! {
            biased;
            () = self.interrupt.at_least(yields_to), if yields_to != Urgency::None => Err(StageError::Interrupted),
            ended = tokio::time::timeout(deadline, AssertUnwindSafe(work).catch_unwind()) => match ended {
                Err(_) => Err(StageError::Deadline(deadline)),
                Ok(Err(panic)) => Err(StageError::Panicked(panic_text(panic.as_ref()))),
                Ok(Ok(Err(error))) => Err(StageError::Failed(error)),
                Ok(Ok(Ok(value))) => Ok(value),
            },
        };
        self.emit.emit(Event::StageEnded {
            stage,
            error: outcome.as_ref().err().map(ToString::to_string),
        });
        outcome
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
