//! S3 stores.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::{Error, Tier};

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A request that fails is made again at once a few times; after that it is for the caller to wait.
const RETRIES: usize = 2;
const RETRY_FOR: Duration = Duration::from_secs(10);

/// Which bucket, and how to reach it.
#[derive(Clone, Default)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// What all names of objects begin with; may be empty.
    pub prefix: String,
    /// The server's address, for stores that are not Amazon's. Plain `http://` is used if it says so.
    pub endpoint: Option<String>,
    /// Its region. Default `us-east-1`, which others than Amazon take.
    pub region: Option<String>,
    /// The key's name and the key. `None`: requests are not signed.
    pub key: Option<(String, String)>,
}

/// Without the key.
impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, endpoint, region, .. } = self;
        write!(f, "S3Options({bucket:?}, {prefix:?}, {endpoint:?}, {region:?})")
    }
}

impl Tier {
    /// Objects in a bucket, which must be there. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`Error::Settings`] if the options don't go together.
    pub fn s3(options: &S3Options) -> Result<Self, Error> {
        // Whichever came first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let prefix = options.prefix.trim_matches('/');
        let place = match &options.endpoint {
            Some(endpoint) => format!("s3://{}/{prefix} at {endpoint}", options.bucket),
            None => format!("s3://{}/{prefix}", options.bucket),
        };
        let unusable = |why: String| Error::Settings { place: place.clone(), why };
        let http = options.endpoint.as_ref().is_some_and(|at| at.starts_with("http://"));
        let client = ClientOptions::new()
            .with_allow_http(http)
            .with_connect_timeout(CONNECT_MAX)
            // Each call has a deadline of its own, by what it moves.
            .with_timeout_disabled();
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES,
            retry_timeout: RETRY_FOR,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&options.bucket)
            .with_region(options.region.as_deref().unwrap_or("us-east-1"))
            .with_client_options(client)
            .with_retry(retry)
            // One request for many deletions needs checksums that not all look-alikes know.
            .with_disable_bulk_delete(true);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder = match &options.key {
            Some((name, key)) => builder.with_access_key_id(name).with_secret_access_key(key),
            None => builder.with_skip_signature(true),
        };
        let bucket = builder.build().map_err(|error| unusable(error.to_string()))?;
        let prefix = Path::parse(prefix).map_err(|error| unusable(error.to_string()))?;
        Self::over(Arc::new(bucket), prefix, place.clone())
    }
}
