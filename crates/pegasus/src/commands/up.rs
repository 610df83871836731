//! `pegasus up`: a node, until it is told to stop.

use pegasus_base::{ByteSize, StreamName};
use pegasus_node::{Config, Node, Summary};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Up;
use crate::{Failure, output};

pub(crate) fn run(up: &Up) -> Result<(), Failure> {
    let config = configured(up)?;
    config.check()?;
    pegasus_node::start_logging(&config.log).map_err(Failure::new)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(&config));
    // What is served was waited for; what is left is a store that is still being opened.
    runtime.shutdown_background();
    served
}

/// The configuration, with what the command line says over it.
fn configured(up: &Up) -> Result<Config, Failure> {
    let mut config = match &up.config {
        Some(path) => Config::read_unchecked(path)?,
        None => Config::default(),
    };
    if let Some(data) = &up.data {
        config.data = Some(data.clone());
    }
    if let Some(mount) = &up.mount {
        config.mount.path = Some(mount.clone());
    }
    config.http.listen = up.http.unwrap_or(config.http.listen);
    config.rtsp.listen = up.rtsp.unwrap_or(config.rtsp.listen);
    config.test_cameras.enabled &= !up.no_test_cameras;
    Ok(config)
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let told = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let Some(node) = Node::start(config, env!("CARGO_PKG_VERSION"), told).await? else {
        tracing::info!("stopped before the store was open");
        return Ok(());
    };
    greet(node.summary(), config)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping; what has arrived is written out");
    tokio::select! {
        stopped = node.stop() => stopped?,
        _ = interrupt.recv() => return Err(Failure::new("stopped before everything was written out")),
    }
    Ok(())
}

/// Where everything is, and what to type next.
fn greet(summary: &Summary, config: &Config) -> Result<(), Failure> {
    let rtsp = summary.rtsp_url.trim_end_matches('/');
    let parity = config.store.parity;
    let ByteSize(capacity) = summary.capacity;
    output::line(&format!("console   {}", summary.http_url))?;
    output::line(&format!("rtsp      {rtsp}/"))?;
    output::line(&format!("data      {}", summary.data))?;
    output::line(&format!(
        "store     {} on {} disks, {}",
        ByteSize(capacity),
        summary.disks.len(),
        match parity {
            0 => "none of which may fail",
            1 => "any one of which may fail",
            _ => "any two of which may fail",
        },
    ))?;
    if let Some(mount) = &summary.mount {
        output::line(&format!("files     {mount}"))?;
    }
    if !summary.cameras.is_empty() {
        output::line(&format!("cameras   {} (built in)", summary.cameras.join(", ")))?;
    }
    let name: StreamName = "/cam/door".parse()?;
    output::line(&format!(
        "\nTo record a camera: pegasus source add {name} rtsp://user:pass@camera.local/stream1\n\
         or publish to it:   ffmpeg -re -i film.mp4 -c copy -f rtsp {rtsp}{name}\n"
    ))
}
