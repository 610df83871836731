//! One machine's daemon: which parts run, and how they are wired. Nothing else.
//!
//! [`Config`] says what is wanted, [`Node::start`] builds it, [`Node::stop`] takes it down in order:
//! doors first, then sources, then recorders, so that nothing that arrived is lost.

#![forbid(unsafe_code)]

pub mod config;
mod disk_events;
mod disks;
mod files;
mod guarantee;
mod intake_events;
mod logging;
mod node;
mod quotas;
mod recording;
mod remeasure;
mod survey;
mod tier;
mod tls;

pub use config::{Config, ConfigError, SAMPLE};
pub use disks::{Place, StoreError, existing_disks};
pub use logging::start_logging;
pub use node::{Node, NodeError, Summary};
pub use pegasus_files::check as check_files;
pub use tls::TlsError;
