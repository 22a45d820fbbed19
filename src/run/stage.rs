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

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;

    use anyhow::bail;
    use tokio::sync::watch;

    use super::*;

    /// Longer than any work in here that ends by itself.
    const DEADLINE: Duration = Duration::from_millis(200);

    #[derive(Default)]
    struct Events(Mutex<Vec<Event>>);

    impl Emit for Events {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    /// Stages, what they tell, and the user's urgency.
    fn stages() -> (Stages, Arc<Events>, watch::Sender<Urgency>) {
        let events = Arc::new(Events::default());
        let (urgency, interrupt) = Interrupt::by_hand();
        let emit = events.clone();
        (Stages { emit, interrupt }, events, urgency)
    }

    /// Every stage is told to have begun, and to have ended with this.
    fn assert_told(events: &Events, expected: Option<&str>) {
        let stage = Stage::Deploy;
        let told = events.0.lock().unwrap();
        let error = expected.map(ToOwned::to_owned);
        let ended = Event::StageEnded { stage, error };
        assert_eq!(*told, [Event::StageBegan { stage }, ended]);
    }

    #[tokio::test]
    async fn each_end_of_a_stage_is_told() {
        async fn ends(
            work: impl Future<Output = anyhow::Result<u8>>,
            expected: Option<&str>,
        ) -> Result<u8, StageError> {
            let (stages, events, _urgency) = stages();
            let outcome = stages
                .stage(Stage::Deploy, DEADLINE, Urgency::Stop, work)
                .await;
            assert_told(&events, expected);
            outcome
        }
        assert!(matches!(ends(async { Ok(7) }, None).await, Ok(7)));
        let failing = async { bail!("n4: no space left") };
        let failed = ends(failing, Some("n4: no space left")).await;
        assert!(matches!(failed, Err(StageError::Failed(_))));
        let late = ends(pending(), Some("no end after 0 s")).await;
        assert!(matches!(late, Err(StageError::Deadline(_))));
        let panicking = async { panic!("index {} of 3", 5) };
        let told = "a panic, which is a bug in jtest: index 5 of 3";
        let panicked = ends(panicking, Some(told)).await;
        assert!(matches!(panicked, Err(StageError::Panicked(_))));
    }

    #[tokio::test]
    async fn a_stage_yields_to_the_urgency_that_it_names() {
        for (raised, yields_to, is_interrupted) in [
            (Urgency::Stop, Urgency::Stop, true),
            (Urgency::Go, Urgency::Stop, true),
            (Urgency::Stop, Urgency::Go, false),
            (Urgency::Go, Urgency::Go, true),
            (Urgency::Go, Urgency::None, false),
        ] {
            let (stages, events, urgency) = stages();
            let work = async {
                urgency.send_replace(raised);
                tokio::time::sleep(DEADLINE / 20).await;
                Ok(())
            };
            let outcome = stages.stage(Stage::Deploy, DEADLINE, yields_to, work).await;
            assert_eq!(
                matches!(outcome, Err(StageError::Interrupted)),
                is_interrupted,
                "{raised:?} {yields_to:?}"
            );
            assert_told(&events, is_interrupted.then_some("interrupted"));
        }
    }
}
