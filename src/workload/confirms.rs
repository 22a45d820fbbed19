//! Futures that are collected in exactly the order in which they were woken.
//!
//! The client library resolves the confirms of a connection one after the other in its own
//! thread. The rules in [`super::attempts`] need to know that whatever resolved before a
//! confirm we have seen was seen too; a general-purpose set of futures may stop polling early
//! to be fair to others, so it cannot promise that.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::attempts::Order;
use super::window::Window;

/// Futures by the order of their publish.
pub struct Confirms<F> {
    pending: Window<F>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(Mutex<WokenInner>);

#[derive(Default)]
struct WokenInner {
    orders: Vec<Order>,
    task: Option<Waker>,
}

impl Woken {
    fn lock(&self) -> MutexGuard<'_, WokenInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls a future that rings for its order.
    fn poll<F: Future + Unpin>(self: &Arc<Self>, order: Order, future: &mut F) -> Poll<F::Output> {
        let woken = Arc::clone(self);
        let bell = Waker::from(Arc::new(Bell { order, woken }));
        Pin::new(future).poll(&mut Context::from_waker(&bell))
    }
}

struct Bell {
    order: Order,
    woken: Arc<Woken>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let task = {
            let mut woken = self.woken.lock();
            woken.orders.push(self.order);
            woken.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F> Default for Confirms<F> {
    fn default() -> Self {
        Self {
            pending: Window::default(),
            woken: Arc::default(),
        }
    }
}

impl<F: Future + Unpin> Confirms<F> {
    /// Adds a future; its output, where it has one already.
    pub fn add(&mut self, order: Order, mut future: F) -> Option<F::Output> {
        match self.woken.poll(order, &mut future) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => {
                self.pending.push(order, future);
                None
            }
        }
    }

    /// Takes the outputs of all futures that were woken until now, in the order of waking.
    /// The context's task is woken when there are more.
    pub fn take_woken(&mut self, context: &mut Context<'_>, out: &mut Vec<(Order, F::Output)>) {
        let orders = {
            let mut woken = self.woken.lock();
            woken.task = Some(context.waker().clone());
            std::mem::take(&mut woken.orders)
        };
        for order in orders {
            let Some(future) = self.pending.get_mut(order) else {
                continue;
            };
            // Woken, it hardly ever needs to ring again.
            let mut unheard = Context::from_waker(Waker::noop());
            let polled = match Pin::new(&mut *future).poll(&mut unheard) {
                Poll::Pending => self.woken.poll(order, future),
                ready => ready,
            };
            if let Poll::Ready(output) = polled {
                self.pending.remove(order);
                out.push((order, output));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn taken(confirms: &mut Confirms<oneshot::Receiver<u8>>) -> Vec<(Order, u8)> {
        let mut out = Vec::new();
        confirms.take_woken(&mut Context::from_waker(Waker::noop()), &mut out);
        out.into_iter()
            .map(|(order, output)| (order, output.unwrap()))
            .collect()
    }

    #[test]
    fn outputs_come_in_the_order_of_waking() {
        let mut confirms = Confirms::default();
        let mut senders = Vec::new();
        for order in 0..100 {
            let (sender, receiver) = oneshot::channel();
            assert!(confirms.add(order, receiver).is_none());
            senders.push(Some(sender));
        }
        let waking: Vec<u64> = (0..100).map(|n| (n * 37 + 11) % 100).collect();
        for order in &waking {
            let sender = senders[*order as usize].take().unwrap();
            sender.send(u8::try_from(*order).unwrap()).unwrap();
        }
        let orders: Vec<Order> = taken(&mut confirms)
            .iter()
            .map(|(order, _)| *order)
            .collect();
        assert_eq!(orders, waking);
        assert_eq!(taken(&mut confirms), []);
    }

    #[test]
    fn what_is_ready_at_once_is_told_at_once() {
        let mut confirms = Confirms::default();
        let (sender, receiver) = oneshot::channel();
        sender.send(5).unwrap();
        assert_eq!(confirms.add(3, receiver), Some(Ok(5)));
        assert_eq!(taken(&mut confirms), []);
    }
}
