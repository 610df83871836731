//! The node's API as this command uses it.

use std::io::Read;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::{Request, Response};
use url::Url;

use crate::Failure;

/// How long the node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// One node, by its URL.
pub(crate) struct Client {
    base: Url,
    authorization: Option<String>,
    agent: Agent,
}

impl Client {
    /// A client for the node at `url`, which may hold `user:password@`.
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        let text = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let mut base = Url::parse(&text)
            .map_err(|error| Failure::new(format!("--node {url} is not a URL: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(Failure::new(format!("--node {url} is not an http:// or https:// URL")));
        }
        let authorization = authorization(&base);
        base.set_username("").and_then(|()| base.set_password(None)).ok();
        Ok(Self { base, authorization, agent: agent(ANSWER_MAX) })
    }

    /// The same, for what may take so much longer.
    pub(crate) fn patient(&self, more: Duration) -> Self {
        let agent = agent(ANSWER_MAX.saturating_add(more));
        Self { base: self.base.clone(), authorization: self.authorization.clone(), agent }
    }

    /// `GET path`, its JSON.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let mut response = self.call("GET", &self.url(path, query), None)?;
        read_json(&mut response)
    }

    /// Any other call; the answer's JSON, or null where there is none.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, String)],
        body: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, Failure> {
        let mut response = self.call(method, &self.url(path, query), body)?;
        if response.headers().get("content-length").is_some_and(|v| v == "0")
            || response.status() == 204
        {
            return Ok(serde_json::Value::Null);
        }
        read_json(&mut response)
    }

    /// `GET path` as a stream of bytes, and its length if the node says it.
    pub(crate) fn download(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<(Option<u64>, impl Read + use<>), Failure> {
        let response = self.call("GET", &self.url(path, query), None)?;
        let length = response
            .headers()
            .get("content-length")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        Ok((length, response.into_body().into_with_config().limit(u64::MAX).reader()))
    }

    fn url(&self, path: &str, query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn call(
        &self,
        method: &str,
        url: &Url,
        body: Option<&serde_json::Value>,
    ) -> Result<Response<ureq::Body>, Failure> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(value) = &self.authorization {
            request = request.header("authorization", value);
        }
        let unreachable = |error: ureq::Error| {
            Failure::new(format!(
                "can't reach the node at {}: {error}; is `pegasus up` running there?",
                self.base
            ))
        };
        let bad = |error: ureq::http::Error| Failure::new(format!("{url}: {error}"));
        let sent = match body {
            Some(value) => {
                let bytes = serde_json::to_vec(value).expect("a JSON value can be written");
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(bytes).map_err(bad)?)
            }
            None => self.agent.run(request.body(()).map_err(bad)?),
        };
        let mut response = sent.map_err(unreachable)?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(&mut response))
    }
}

fn agent(answer_max: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_recv_response(Some(answer_max))
        .build()
        .into()
}

fn authorization(base: &Url) -> Option<String> {
    use base64::Engine as _;
    let decode = |text: &str| {
        url::form_urlencoded::parse(format!("v={}", text.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let password = base.password()?;
    let pair = format!("{}:{}", decode(base.username()), decode(password));
    Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
}

fn read_json<T: DeserializeOwned>(response: &mut Response<ureq::Body>) -> Result<T, Failure> {
    response
        .body_mut()
        .with_config()
        .limit(256 << 20)
        .read_json()
        .map_err(|error| Failure::new(format!("the node's answer makes no sense: {error}")))
}

/// The node's own sentence about what is wrong, or its status.
fn refusal(response: &mut Response<ureq::Body>) -> Failure {
    let status = response.status();
    if status == 401 {
        return Failure::new(
            "the node asks for credentials: write --node http://user:password@host:port",
        );
    }
    let text = response.body_mut().read_to_string().unwrap_or_default();
    let sentence = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|value| value["error"].as_str().map(str::to_owned));
    Failure::new(sentence.unwrap_or_else(|| format!("the node answered {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_joined_and_credentials_kept_out() {
        let client = Client::new("http://me:p%40ss@localhost:7070/").unwrap();
        let url = client.url("/api/v1/streams/cam/door/recordings", &[("from", "-1h".to_owned())]);
        assert_eq!(
            url.as_str(),
            "http://localhost:7070/api/v1/streams/cam/door/recordings?from=-1h"
        );
        assert_eq!(client.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
    }

    #[test]
    fn a_node_is_a_web_address() {
        assert!(Client::new("ftp://x").is_err());
        assert!(Client::new("localhost:7070").is_ok());
    }
}
