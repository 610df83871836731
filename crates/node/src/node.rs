//! Putting a node together, and taking it down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::{ByteSize, Clock, SystemClock};
use pegasus_circuit::{Limits, Switch};
use pegasus_continuous::{Continuous, Retention, Settings, StreamRetention};
use pegasus_devices::{DeviceError, TestCamera};
use pegasus_gateway::sources::{SourceError, Sources};
use pegasus_gateway::{
    Access, AccessError, DiskList, Events, Intake, Level, Measuring, NodeInfo, Services, http, rtsp,
};
use pegasus_log::{Log, Recovery};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ConfigError};
use crate::disk_events::DiskEvents;
use crate::disks::{Opened, StoreError, open_store};
use crate::files::NodeFiles;
use crate::guarantee::Keeping;
use crate::intake_events::IntakeEvents;
use crate::recording::Recorders;
use crate::tier::{self, TierEvents};
use crate::tls::{self, TlsError};

/// How often the state of the disks is looked at, to report what was lost.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why a node can't start or stop as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The configuration can't be followed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The recordings can't be opened or closed.
    #[error("{0}{hint}", hint = hint(.0))]
    Recordings(#[from] pegasus_continuous::Error),
    /// The credentials can't be used.
    #[error("credentials: {0}")]
    Access(#[from] AccessError),
    /// The files can't be opened or closed.
    #[error("files: {0}")]
    Files(#[from] pegasus_files::FilesError),
    /// The files can't be mounted.
    #[error(transparent)]
    Mount(#[from] pegasus_fuse::MountError),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The sources can't be read.
    #[error(transparent)]
    Sources(#[from] SourceError),
    /// A test camera can't be started.
    #[error("test camera: {0}")]
    Camera(#[from] DeviceError),
    /// A port can't be listened on.
    #[error("can't listen on {listen}: {source}; is another node running?")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// What to do about it.
fn hint(error: &pegasus_continuous::Error) -> &'static str {
    match error {
        pegasus_continuous::Error::Damaged { .. } | pegasus_continuous::Error::Log(_) => {
            "; `pegasus store repair` shows what can be done"
        }
        _ => "",
    }
}

/// A running node.
pub struct Node {
    services: Services,
    /// Doors and whatever else serves others.
    doors: TaskTracker,
    recorders: TaskTracker,
    stop_recorders: CancellationToken,
    cameras: Vec<TestCamera>,
    files: Arc<NodeFiles>,
    summary: Summary,
}

/// Where everything is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Console and API.
    pub http_url: String,
    /// RTSP server.
    pub rtsp_url: String,
    /// Data folder.
    pub data: String,
    /// Capacity of the store, parity apart.
    pub capacity: ByteSize,
    /// Paths of the disks.
    pub disks: Vec<String>,
    /// Names of the test cameras that run.
    pub cameras: Vec<String>,
    /// Where the files are mounted.
    pub mount: Option<String>,
}

impl Node {
    /// Opens the store, starts recorders, cameras, sources and doors. `None` if `stop` came while the store was being opened, which takes half a
    /// minute where many recordings lie on few heads: a thread may still be at it, and what it writes is no more than a crash could leave.
    ///
    /// # Errors
    /// Names what could not be opened or listened on; then nothing is left running.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(
        config: &Config,
        version: &str,
        stop: impl Future<Output = ()>,
    ) -> Result<Option<Self>, NodeError> {
        config.check()?;
        let access = match &config.credentials {
            Some(c) => Access::credentials(&c.user, &c.password)?,
            None => Access::open(),
        };
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let (http_listener, http_url) = listen(config.http.listen, &tls, ["http", "https"]).await?;
        let (rtsp_listener, rtsp_url) = listen(config.rtsp.listen, &tls, ["rtsp", "rtsps"]).await?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let events = Events::new(Arc::clone(&clock));
        let data = config.data_dir()?;
        let opening = open(config.clone(), data.clone(), Arc::clone(&clock), events.clone());
        let opening = tokio::task::spawn_blocking(opening);
        let (log, store) = tokio::select! {
            biased;
            () = stop => return Ok(None),
            opened = opening => opened.expect("opening the store does not panic")?,
        };
        let files = {
            let share = config.retention.share_percent;
            let (mount, store, clock) = (config.mount.clone(), store.clone(), Arc::clone(&clock));
            let files = Arc::new(NodeFiles::new(mount, share, log, store, clock));
            let mounting = Arc::clone(&files);
            let mount = move || mounting.mount_configured();
            tokio::task::spawn_blocking(mount).await.expect("mounting does not panic")?;
            files
        };

        let switch = Switch::new(Limits::default());
        let intake = match config.recording.admission {
            true => {
                let rules = config.recording.clone();
                Intake::new(store.clone(), move |name| rules.wants(name))
            }
            false => Intake::open(),
        };
        let list = data.join("sources.json");
        let sources = Sources::open(list, switch.clone(), Arc::clone(&clock), intake.clone())?;
        let node =
            NodeInfo { version: version.to_owned(), started: clock.now(), http_url, rtsp_url };
        let (stop, disks) = (CancellationToken::new(), Arc::new(DiskList::of(&data)));
        let services = Services {
            switch,
            store,
            disks,
            intake,
            measuring: Measuring::default(),
            sources,
            mounts: Some(files.clone()),
            clock,
            access,
            events,
            node: node.into(),
            stop,
        };
        let mut running = Self {
            summary: summary(&services, &data.display().to_string()),
            services,
            doors: TaskTracker::new(),
            recorders: TaskTracker::new(),
            stop_recorders: CancellationToken::new(),
            cameras: Vec::new(),
            files,
        };
        running.summary.mount = running.files.place().map(|path| path.display().to_string());
        running.start_recorders(config);
        running.start_sources(config)?;
        running.doors.spawn(rtsp::serve(rtsp_listener, tls.clone(), running.services.clone()));
        running.doors.spawn(http::serve(http_listener, tls, running.services.clone()));
        running.doors.spawn(watch_disks(running.services.clone()));
        let (store, events) = (running.services.store.clone(), running.services.events.clone());
        let (tier, stop) = (config.tier.clone(), running.services.stop.clone());
        running.doors.spawn(tier::run(store.clone(), tier, data.clone(), events.clone(), stop));
        let playback = config.playback.clone();
        let measuring = running.services.measuring.clone();
        let stop = running.services.stop.clone();
        let keeping = Keeping { store, config: playback, data, events, measuring, stop };
        // Nobody waits for disks to be measured: until then playback is not guaranteed.
        tokio::spawn(keeping.run());
        Ok(Some(running))
    }

    fn start_recorders(&self, config: &Config) {
        let recorders = Recorders {
            switch: self.services.switch.clone(),
            store: self.services.store.clone(),
            events: self.services.events.clone(),
            rules: Arc::new(config.recording.clone()),
            gather: (config.store.durable_within / 16).min(Duration::from_millis(60)),
            tasks: self.recorders.clone(),
            stop: self.stop_recorders.clone(),
        };
        self.recorders.spawn(recorders.run());
    }

    fn start_sources(&mut self, config: &Config) -> Result<(), NodeError> {
        for source in &config.source {
            let rate_bps = source.rate.map(|rate| rate.0);
            self.services.sources.configure(&source.name, &source.url, rate_bps)?;
        }
        if config.test_cameras.enabled {
            self.cameras = TestCamera::start_defaults(&self.services.switch, &self.services.clock)?;
            self.summary.cameras = self.cameras.iter().map(|c| c.name().to_string()).collect();
        }
        Ok(())
    }

    /// Where everything is.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes the node down: doors first, then what publishes, then recorders, then the store. All that
    /// has arrived is durable when this returns.
    ///
    /// # Errors
    /// If the store can't be closed as it should; then what the disks have is what survives.
    ///
    /// # Panics
    /// Never, unless closing the store panics.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        self.services.stop.cancel();
        self.services.sources.close();
        self.cameras.clear();
        self.doors.close();
        if tokio::time::timeout(Duration::from_secs(5), self.doors.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        self.stop_recorders.cancel();
        self.recorders.close();
        self.recorders.wait().await;
        let (store, files) = (self.services.store.clone(), self.files.clone());
        let close = move || {
            // Files before the store: it writes the last checkpoint.
            let files = files.close();
            store.close()?;
            Ok(files?)
        };
        let closed = tokio::task::spawn_blocking(close).await;
        closed.expect("closing the store does not panic")
    }
}

async fn listen(
    address: SocketAddr,
    tls: &Option<TlsAcceptor>,
    schemes: [&str; 2],
) -> Result<(TcpListener, String), NodeError> {
    let failed = |source| NodeError::Listen { listen: address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, format!("{}://{bound}/", schemes[usize::from(tls.is_some())])))
}

fn settings(config: &Config) -> Settings {
    let retention = &config.retention;
    let overrides = retention.stream.iter().map(|s| {
        let rule = StreamRetention { age: s.age, bytes: s.bytes.map(ByteSize::bytes) };
        (s.name.clone(), rule)
    });
    Settings {
        durable_within: config.store.durable_within,
        retention: Retention {
            age: retention.age,
            bytes_per_stream: retention.bytes_per_stream.map(ByteSize::bytes),
            keep_free_percent: retention.keep_free_percent,
        },
        overrides: overrides.collect(),
        spare_after: config.store.spare_after,
        ..Settings::default()
    }
}

fn summary(services: &Services, data: &str) -> Summary {
    let status = services.store.status();
    Summary {
        http_url: services.node.http_url.clone(),
        rtsp_url: services.node.rtsp_url.clone(),
        data: data.to_owned(),
        capacity: ByteSize(status.capacity_bytes),
        disks: status.disks.into_iter().map(|disk| disk.path).collect(),
        cameras: Vec::new(),
        mount: None,
    }
}

/// What opens the store, and says what it found. Blocks on disks.
fn open(
    config: Config,
    data: PathBuf,
    clock: Arc<dyn Clock>,
    events: Events,
) -> impl FnOnce() -> Result<(Arc<Log>, Continuous), NodeError> {
    move || {
        let Opened { log, recovery, spares } =
            open_store(&config, &data, clock.now(), &mut fastrand::Rng::new())?;
        report(&events, &recovery);
        let log = Arc::new(log);
        let store = Continuous::open(Arc::clone(&log), recovery, settings(&config), clock)?;
        spares.into_iter().for_each(|spare| store.keep_spare(spare));
        Ok((log, store))
    }
}

/// Says what opening found.
fn report(events: &Events, recovery: &Recovery) {
    for problem in &recovery.problems {
        events.report(Level::Error, "store", problem);
    }
    for remark in &recovery.remarks {
        events.report(Level::Warning, "store", remark);
    }
    if !recovery.clean {
        let (n, repaired) = (recovery.transactions, recovery.repaired_fragments);
        let text = format!("recovered: {n} transactions replayed, {repaired} fragments repaired");
        events.report(Level::Info, "store", text);
    }
}

/// Notices what becomes of the disks, and whether they can take what is recorded, and says so once.
async fn watch_disks(services: Services) {
    let (mut events, mut intake) = (DiskEvents::default(), IntakeEvents::default());
    let mut tier = TierEvents::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = services.stop.cancelled() => return,
        }
        let store = services.store.clone();
        let looked = tokio::task::spawn_blocking(move || store.status());
        let Ok(status) = looked.await else { continue };
        if let Some((level, text)) = tier.note(&services.store) {
            services.events.report(level, "tier", text);
        }
        for (level, path, text) in events.note(&status.disks, &status.spares) {
            services.events.report(level, &path, text);
        }
        for (level, subject, text) in intake.note(&status.intake) {
            services.events.report(level, &subject, text);
        }
    }
}
