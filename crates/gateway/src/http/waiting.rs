//! Waiting for a promise, for as long as who asks is ready to.

use std::sync::Arc;
use std::time::Duration;

use pegasus_continuous::{Error, InLine, Promise, Waiting, Wish};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::app::{App, blocking};
use super::error::ApiError;
use super::playbacks::{Absent, Lease};

/// Longest wait: clients give up about then, and whose turn it is keeps others from what is free.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Asks for a promise, and waits for it in line for `wait` at most. Who hangs up has left the line.
pub(super) async fn begin(
    app: &App,
    wishes: Vec<Wish>,
    wait: Duration,
) -> Result<(u64, Lease), ApiError> {
    let deadline = Instant::now() + wait;
    let (store, playbacks) = (app.store.clone(), app.playbacks.clone());
    let woken = Arc::new(Notify::new());
    let (wake, asked) = (woken.clone(), wishes.clone());
    let in_line = blocking(move || {
        playbacks.check_room()?;
        Ok::<_, Absent>(store.promise_in_line(&asked, move || wake.notify_one())?)
    });
    let promise = match in_line.await? {
        InLine::Promised(promise) => promise,
        InLine::Waiting(waiting) => turn(app, Arc::new(waiting), &woken, deadline).await?,
    };
    let playbacks = app.playbacks.clone();
    blocking(move || playbacks.keep(promise, wishes)).await
}

/// Waits for one's turn; at the deadline the refusal says where one stood.
async fn turn(
    app: &App,
    waiting: Arc<Waiting>,
    woken: &Notify,
    deadline: Instant,
) -> Result<Promise, ApiError> {
    loop {
        let is_last = tokio::select! {
            () = woken.notified() => false,
            () = tokio::time::sleep_until(deadline) => true,
            () = app.stop.cancelled() => true,
        };
        let own = waiting.clone();
        match blocking(move || Ok::<_, ApiError>(own.ask())).await? {
            Err(Error::Refused(refused)) if !is_last && !refused.never => {}
            asked => return Ok(asked?),
        }
    }
}
