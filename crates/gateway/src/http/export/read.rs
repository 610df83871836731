//! The bytes of a planned file, read from the store as the client takes them.

use std::io;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use pegasus_base::StreamName;
use pegasus_continuous::{Continuous, Promise};
use pegasus_export::{Planned, Source};
use pegasus_media::mp4::Piece;
use tokio::sync::{Semaphore, mpsc};

use crate::Level;
use crate::http::app::App;
use crate::http::error::ApiError;

/// Files sent at once: each has a thread that waits for disks and for its client.
const SENT_MAX: usize = 64;
/// Pieces read ahead of the client.
const AHEAD: usize = 8;
/// Units smaller than this are gathered.
const SMALL_BYTES: usize = 16 << 10;
/// How much is gathered.
const GATHER_BYTES: usize = 64 << 10;

static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(SENT_MAX)));

/// A body of the bytes of `part`. If reading fails midway, the answer is cut short: its length tells.
pub(super) fn stream(
    app: &App,
    name: StreamName,
    what: (Arc<Planned>, Option<Arc<Promise>>),
    part: Range<u64>,
) -> Result<Body, ApiError> {
    // Those that are promised were counted when they were.
    let permit = match what.1 {
        Some(_) => None,
        None => Some(Arc::clone(&ROOM).try_acquire_owned().map_err(|_| {
            let text = format!("{SENT_MAX} files are being sent; try again later");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
        })?),
    };
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (store, stop, events) = (app.store.clone(), app.stop.clone(), app.events.clone());
    tokio::task::spawn_blocking(move || {
        let mut outlet = Outlet { sender, gathered: BytesMut::new() };
        let pieces = send(&store, &name, what, part, &mut outlet);
        if let Err(Failure::Read(error)) = pieces.and_then(|()| outlet.flush()) {
            let text = format!("an export was cut short: {}", error.text());
            events.report(Level::Warning, &name, text);
            let _ = outlet.sender.blocking_send(Err(io::Error::other(error.text().to_owned())));
        }
        drop(permit);
    });
    let pieces = stream::unfold((receiver, stop), |(mut receiver, stop)| async move {
        let piece = tokio::select! {
            piece = receiver.recv() => piece?,
            () = stop.cancelled() => Err(io::Error::other("the node is stopping")),
        };
        Some((piece, (receiver, stop)))
    });
    Ok(Body::from_stream(pieces))
}

/// Why sending ended early.
enum Failure {
    /// The client has gone away.
    Gone,
    /// The store can't be read, or holds something else than was planned.
    Read(ApiError),
}

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Read(error.into())
    }
}

fn send(
    store: &Continuous,
    name: &StreamName,
    (planned, promise): (Arc<Planned>, Option<Arc<Promise>>),
    part: Range<u64>,
    outlet: &mut Outlet,
) -> Result<(), Failure> {
    let source = Source::new(store.clone(), name.clone(), Arc::clone(&planned));
    let mut source = source.promised(promise);
    for piece in planned.plan.slice(part) {
        match piece {
            Piece::Head(bytes) => outlet.send(bytes)?,
            Piece::Unit { index, skip, len } => {
                let (from, to) = (skip as usize, skip as usize + len as usize);
                outlet.send(source.get(index)?.slice(from..to))?;
            }
        }
    }
    Ok(())
}

/// Where the bytes go.
struct Outlet {
    sender: mpsc::Sender<io::Result<Bytes>>,
    gathered: BytesMut,
}

impl Outlet {
    fn send(&mut self, bytes: Bytes) -> Result<(), Failure> {
        if bytes.len() < SMALL_BYTES {
            self.gathered.extend_from_slice(&bytes);
            return if self.gathered.len() < GATHER_BYTES { Ok(()) } else { self.flush() };
        }
        self.flush()?;
        self.pass(bytes)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let gathered = self.gathered.split().freeze();
        if gathered.is_empty() { Ok(()) } else { self.pass(gathered) }
    }

    fn pass(&self, bytes: Bytes) -> Result<(), Failure> {
        self.sender.blocking_send(Ok(bytes)).map_err(|_| Failure::Gone)
    }
}
