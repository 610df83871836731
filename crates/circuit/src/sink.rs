//! The taking end of a stream.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::Thread;
use std::time::{Duration, Instant};

use pegasus_base::{StreamName, Time};

use crate::circuit::{SinkId, Wake as Woken};
use crate::switch::Port;
use crate::{Command, Event, Loss, Mark, StreamStatus};

/// One taker of a stream: a place in the stream's ring, with no queue of its own. It slows nobody:
/// if it is too slow, it loses whole groups and is told so.
pub struct Sink {
    port: Port,
    id: SinkId,
    label: String,
}

impl Sink {
    pub(crate) fn new(port: Port, id: SinkId) -> Self {
        Self { port, id, label: String::new() }
    }

    /// Says who takes the stream, for status: `recorder`, `http 192.0.2.7:4711`.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self.port.circuit.lock().set_label(self.id, self.label.clone());
        self
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.port.name
    }

    /// How the stream is.
    #[must_use]
    pub fn status(&self) -> StreamStatus {
        self.port.status()
    }

    /// Waits for the next event. Cancel safe: an event is either returned or still to come.
    pub async fn next(&mut self) -> Event {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next event if there is one.
    #[must_use]
    pub fn try_next(&mut self) -> Option<Event> {
        let event = self.port.circuit.lock().next(self.id, None);
        event.inspect(|event| self.log(event))
    }

    /// As [`Sink::next`], for use in a hand-written future.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        // A sink that never has to wait must still let other tasks of its thread run.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let event = self.port.circuit.lock().next(self.id, Some(cx.waker()));
        match event {
            Some(event) => {
                self.log(&event);
                budget.made_progress();
                Poll::Ready(event)
            }
            None => Poll::Pending,
        }
    }

    /// Waits until there is an event, then appends all there are, at most `max`, to `events`.
    /// Returns how many. Cancel safe. [`Event::Closed`] is always the last.
    ///
    /// # Panics
    /// If `max` is 0.
    pub async fn next_many(&mut self, events: &mut Vec<Event>, max: usize) -> usize {
        assert!(max > 0, "at least one event must be asked for");
        poll_fn(|cx| {
            let budget = ready!(tokio::task::coop::poll_proceed(cx));
            match self.take(events, max, Some(cx.waker())) {
                0 => Poll::Pending,
                count => {
                    budget.made_progress();
                    Poll::Ready(count)
                }
            }
        })
        .await
    }

    /// As [`Sink::next_many`] for a thread: blocks until there is an event, at most for `timeout`.
    /// Returns 0 if there was none.
    ///
    /// # Panics
    /// If `max` is 0.
    pub fn wait_many(&mut self, events: &mut Vec<Event>, max: usize, timeout: Duration) -> usize {
        assert!(max > 0, "at least one event must be asked for");
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let began = Instant::now();
        loop {
            let count = self.take(events, max, Some(&waker));
            let left = timeout.saturating_sub(began.elapsed());
            if count > 0 || left.is_zero() {
                return count;
            }
            std::thread::park_timeout(left);
        }
    }

    /// Asks something of the source. Forgotten if there is none.
    pub fn command(&self, command: Command) {
        let wake = self.port.circuit.lock().command(command);
        wake.now();
    }

    /// Tells the source up to when this sink is done with the stream; the recorder: what is durable.
    pub fn mark(&self, done: Time) {
        self.port.circuit.lock().set_mark(self.id, done);
    }

    /// The marks of all groups held of the present publisher, oldest first.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        self.port.circuit.lock().marks()
    }

    fn take(&mut self, events: &mut Vec<Event>, max: usize, waker: Option<&Waker>) -> usize {
        let from = events.len();
        let mut circuit = self.port.circuit.lock();
        while events.len() - from < max && events[from..].last() != Some(&Event::Closed) {
            // The waker is only wanted if there is nothing at all.
            let waker = waker.filter(|_| events.len() == from);
            let Some(event) = circuit.next(self.id, waker) else { break };
            events.push(event);
        }
        drop(circuit);
        events[from..].iter().for_each(|event| self.log(event));
        events.len() - from
    }

    fn log(&self, event: &Event) {
        if let Event::Lost(Loss { units, from, to }) = event {
            let (stream, sink) = (&self.port.name, &self.label);
            tracing::warn!(%stream, sink, units, %from, %to, "a sink was too slow and lost units");
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.port.leave(|circuit| {
            circuit.detach(self.id);
            Woken::default()
        });
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sink of {}", self.port.name)
    }
}

/// Wakes a blocked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
