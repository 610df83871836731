//! Who may come in, as RTSP asks it (RFC 2326, 14): `Basic`, and where the password itself is known
//! `Digest` (RFC 2617, 3.2), so that it does not cross the network.
//!
//! A connection has one nonce, drawn when it opens, so what was overheard is of no use on another.

use md5::{Digest as _, Md5};

use super::message::{Request, Response, Status};
use crate::Access;

const REALM: &str = "pegasus";

/// Checks the requests of one connection.
#[derive(Debug)]
pub(super) struct Gate {
    access: Access,
    nonce: String,
}

impl Gate {
    pub(super) fn new(access: Access, rng: &mut fastrand::Rng) -> Self {
        Self { access, nonce: format!("{:032x}", rng.u128(..)) }
    }

    /// Nothing if the request may pass; else the response that asks for credentials.
    pub(super) fn check(&self, request: &Request) -> Option<Response> {
        let header = request.headers.get("Authorization");
        if self.access.check_basic(header) || self.check_digest(request, header) {
            return None;
        }
        let mut response = Response::new(Status::UNAUTHORIZED);
        if let Some(cseq) = request.headers.get("CSeq") {
            response.headers.push("CSeq", cseq);
        }
        if self.access.plain().is_some() {
            let digest = format!("Digest realm=\"{REALM}\", nonce=\"{}\"", self.nonce);
            response.headers.push("WWW-Authenticate", digest);
        }
        Some(response.with("WWW-Authenticate", format!("Basic realm=\"{REALM}\"")))
    }

    fn check_digest(&self, request: &Request, header: Option<&str>) -> bool {
        let Some((user, password)) = self.access.plain() else { return false };
        let Some(parameters) = header.and_then(|header| header.trim().strip_prefix("Digest "))
        else {
            return false;
        };
        let get = |name| parameter(parameters, name).unwrap_or_default();
        // The URI is what the client says it hashed: clients differ in which form of the URL that is.
        let secret = md5_hex(&format!("{user}:{REALM}:{password}"));
        let what = md5_hex(&format!("{}:{}", request.method, get("uri")));
        let nonce = &self.nonce;
        let expected = match get("qop") {
            "" => md5_hex(&format!("{secret}:{nonce}:{what}")),
            qop => {
                let (count, own) = (get("nc"), get("cnonce"));
                md5_hex(&format!("{secret}:{nonce}:{count}:{own}:{qop}:{what}"))
            }
        };
        get("username") == user
            && get("nonce") == self.nonce
            && same(&expected, &get("response").to_ascii_lowercase())
    }
}

/// The value of `name` in `a="x", b=y`.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = parameters;
    while let Some((key, behind)) = rest.split_once('=') {
        let behind = behind.trim_start();
        let (value, after) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => behind
                .split_once(',')
                .map_or((behind, ""), |(value, _)| (value.trim_end(), &behind[value.len()..])),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after.trim_start().trim_start_matches(',');
    }
    None
}

fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Equality that looks at every byte whatever it finds.
fn same(a: &str, b: &str) -> bool {
    let difference = a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::Method;
    use super::*;

    fn gate(password: &str) -> Gate {
        let access = Access::credentials("Mufasa", password).unwrap();
        Gate { access, nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093".to_owned() }
    }

    fn request(authorization: &str) -> Request {
        Request::new(Method::Describe, "rtsp://h/cam").with("Authorization", authorization)
    }

    /// What a client that knows `password` sends.
    fn answer(gate: &Gate, password: &str, qop: &str) -> String {
        let secret = md5_hex(&format!("Mufasa:{REALM}:{password}"));
        let what = md5_hex("DESCRIBE:rtsp://h/cam");
        let middle = if qop.is_empty() { String::new() } else { format!("1:0a4f:{qop}:") };
        let response = md5_hex(&format!("{secret}:{}:{middle}{what}", gate.nonce));
        let more = if qop.is_empty() { "" } else { ", qop=auth, nc=1, cnonce=\"0a4f\"" };
        format!(
            "Digest username=\"Mufasa\", realm=\"{REALM}\", nonce=\"{}\", uri=\"rtsp://h/cam\", \
             response=\"{response}\"{more}",
            gate.nonce
        )
    }

    #[test]
    fn the_right_password_passes_in_every_form() {
        let gate = gate("Circle Of Life");
        for qop in ["", "auth"] {
            assert_eq!(gate.check(&request(&answer(&gate, "Circle Of Life", qop))), None);
            let refused = gate.check(&request(&answer(&gate, "circle of life", qop))).unwrap();
            assert_eq!(refused.status, Status::UNAUTHORIZED);
        }
        let replayed = answer(&gate, "Circle Of Life", "").replace("dcd98", "00000");
        assert!(gate.check(&request(&replayed)).is_some());
        let anonymous = gate.check(&Request::new(Method::Describe, "rtsp://h/cam")).unwrap();
        let asked: Vec<_> = anonymous.headers.iter().map(|(_, value)| value).collect();
        assert!(asked[0].starts_with("Digest ") && asked[1].starts_with("Basic "), "{asked:?}");
    }

    #[test]
    fn without_the_password_itself_only_basic_is_asked_for() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let refused = gate(&digest).check(&request("Digest response=\"\"")).unwrap();
        assert_eq!(refused.headers.len(), 1);
    }

    #[test]
    fn the_hash_is_that_of_the_rfc() {
        // RFC 2617, 3.5
        assert_eq!(
            md5_hex("Mufasa:testrealm@host.com:Circle Of Life"),
            "939e7578ed9e3c518a452acee763bce9"
        );
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(text in "[a-z=\", ]{0,60}") {
            let gate = gate("secret");
            let digest = format!("Digest {text}");
            prop_assert!(gate.check(&request(&digest)).is_some());
            prop_assert!(gate.check(&request(&text)).is_some());
        }
    }
}
