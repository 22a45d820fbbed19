//! What a producer waits for besides its connection: the end of the load, and a moment.
//!
//! A wait ends with nearly every message, so both are kept from one wait to the next. A timer is not set to a later moment
//! before it has fired: the producer looks, and waits again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use super::told;
use crate::history::operation::Nanos;

pub(super) struct Wake {
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_told: bool,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires, if it is set.
    set_to: Option<Nanos>,
}

impl Wake {
    /// For a load that ends when the flag is raised.
    pub(super) fn new(mut stop: watch::Receiver<bool>) -> Self {
        Self {
            stop: Box::pin(async move { told(&mut stop).await }),
            is_told: false,
            timer: Box::pin(sleep(Duration::ZERO)),
            set_to: None,
        }
    }

    /// Returns once the load is to end, and only once; and not later than at the moment, if there is one. Cancel-safe.
    pub(super) async fn by(&mut self, now: Nanos, due: Option<Nanos>) {
        poll_fn(|context| {
            if !self.is_told && self.stop.as_mut().poll(context).is_ready() {
                self.is_told = true;
                return Poll::Ready(());
            }
            let Some(due) = due else {
                return Poll::Pending;
            };
            // A timer takes up to a millisecond for no time at all.
            if due <= now {
                return Poll::Ready(());
            }
            if self.set_to.is_none_or(|set_to| due < set_to) {
                let nanos = u64::try_from(due - now).unwrap_or(0);
                let at = Instant::now() + Duration::from_nanos(nanos);
                self.timer.as_mut().reset(at);
                self.set_to = Some(due);
            }
            let fired = self.timer.as_mut().poll(context);
            if fired.is_ready() {
                self.set_to = None;
            }
            fired
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const HOUR: Nanos = 3_600_000_000_000;
    const MILLISECOND: Nanos = 1_000_000;

    #[tokio::test]
    async fn the_end_wakes_once() {
        let (raise, stop) = watch::channel(false);
        let mut wake = Wake::new(stop);
        assert_eq!(wake.by(0, None).now_or_never(), None);
        raise.send(true).unwrap();
        assert_eq!(wake.by(0, None).now_or_never(), Some(()));
        assert_eq!(wake.by(0, None).now_or_never(), None);
    }

    #[tokio::test]
    async fn the_sooner_moment_counts() {
        let (_raise, stop) = watch::channel(false);
        let mut wake = Wake::new(stop);
        assert_eq!(wake.by(0, Some(HOUR)).now_or_never(), None);
        wake.by(0, Some(MILLISECOND)).await;
        // Nothing is left of it.
        assert_eq!(wake.by(0, Some(HOUR)).now_or_never(), None);
        // Set for sooner than it is asked for now, it wakes too early rather than too late.
        assert_eq!(wake.by(0, Some(MILLISECOND)).now_or_never(), None);
        wake.by(0, Some(HOUR)).await;
        assert_eq!(wake.by(7, Some(7)).now_or_never(), Some(()));
    }
}
