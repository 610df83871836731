//! Where a source may come from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// A URL that can be pulled: `rtsp://[user:password@]host[:port]/path[#transport=udp]`, the same with
/// `rtsps://` (always over TCP), or `file:///folder/film.mp4`.
///
/// The certificate of an `rtsps://` server must be valid for its host, or be the one named by
/// `#certificate=sha256:<64 hexadecimal digits>`: most cameras sign their own.
///
/// Prints with `***` in place of the password; only the list of sources has the whole.
#[derive(Clone, PartialEq, Eq)]
pub enum SourceUrl {
    /// A camera or server.
    Rtsp(Box<RtspUrl>),
    /// An MP4 file, played in real time in a loop.
    File(PathBuf),
}

/// An RTSP URL.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspUrl {
    /// As it was given.
    whole: Url,
    /// Without user, password and fragment: what the server is asked for.
    pub(super) plain: Url,
    /// User and password, decoded.
    pub(super) credentials: Option<(String, String)>,
    /// Whether packets are to come by UDP.
    pub(super) udp: bool,
    /// SHA-256 of the server's certificate, where that is what it is known by.
    pub(super) certificate: Option<[u8; 32]>,
}

/// Why a URL can't be pulled. The password is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{url}' can't be pulled: {why}")]
pub struct SourceUrlError {
    url: String,
    why: &'static str,
}

impl SourceUrl {
    /// The whole URL, with its password: for the list of sources only.
    pub(super) fn as_secret(&self) -> String {
        match self {
            Self::Rtsp(rtsp) => rtsp.whole.to_string(),
            Self::File(path) => file_url(path),
        }
    }
}

impl RtspUrl {
    /// Whether the connection is to be encrypted.
    pub(super) fn is_tls(&self) -> bool {
        self.plain.scheme() == "rtsps"
    }

    fn parse(url: Url) -> Result<Self, &'static str> {
        if url.host_str().is_none_or(str::is_empty) {
            return Err("it names no host");
        }
        let decode = crate::rtsp::target::percent_decode;
        let password = url.password().unwrap_or_default();
        let credentials =
            (!url.username().is_empty()).then(|| (decode(url.username()), decode(password)));
        let (mut udp, mut certificate) = (false, None);
        for option in url.fragment().iter().flat_map(|options| options.split('&')) {
            match option.split_once('=') {
                Some(("transport", "tcp")) => udp = false,
                Some(("transport", "udp")) if url.scheme() == "rtsps" => {
                    return Err("rtsps:// encrypts the connection only, so packets come over TCP");
                }
                Some(("transport", "udp")) => udp = true,
                Some(("certificate", digest)) => {
                    certificate = Some(
                        parse_digest(digest).ok_or("certificate= wants sha256: and 64 digits")?,
                    );
                }
                _ => return Err("behind '#' only transport= or certificate= may stand"),
            }
        }
        let mut plain = url.clone();
        let unusual = "its user or password can't be taken off";
        plain.set_username("").and_then(|()| plain.set_password(None)).map_err(|()| unusual)?;
        plain.set_fragment(None);
        Ok(Self { whole: url, plain, credentials, udp, certificate })
    }
}

/// `sha256:` and 64 hexadecimal digits, with or without colons between bytes as openssl prints them.
fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.strip_prefix("sha256:")?.bytes().filter(|b| *b != b':').collect();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

impl FromStr for SourceUrl {
    type Err = SourceUrlError;

    fn from_str(text: &str) -> Result<Self, SourceUrlError> {
        let bad = |why| SourceUrlError { url: shown(text), why };
        let url = Url::parse(text).map_err(|_| {
            bad("it is no URL (write rtsp://user:password@host/path or file:///folder/film.mp4)")
        })?;
        match url.scheme() {
            "rtsp" | "rtsps" => {
                RtspUrl::parse(url).map(|url| Self::Rtsp(Box::new(url))).map_err(bad)
            }
            "file" => {
                let path = url.to_file_path().map_err(|()| bad("it is no file on this machine"))?;
                if path.file_name().is_none() {
                    return Err(bad("it names no file"));
                }
                Ok(Self::File(path))
            }
            _ => Err(bad("only rtsp://, rtsps:// and file:// are pulled")),
        }
    }
}

/// A URL for people: also one that can't be parsed loses what might be its password.
fn shown(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.chars().take(200).collect();
    };
    let shown = match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            let secret = if user.len() < rest.len() - host.len() - 1 { ":***" } else { "" };
            format!("{scheme}://{user}{secret}@{host}")
        }
        None => text.to_owned(),
    };
    shown.chars().take(200).collect()
}

fn file_url(path: &std::path::Path) -> String {
    // Only absolute paths come in.
    Url::from_file_path(path).map_or_else(|()| path.display().to_string(), String::from)
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtsp(rtsp) => f.write_str(&shown(rtsp.whole.as_str())),
            Self::File(path) => f.write_str(&file_url(path)),
        }
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_write() {
        let SourceUrl::Rtsp(rtsp) =
            "rtsp://user:p%40ss@cam.local/s?a=1#transport=udp".parse().unwrap()
        else {
            panic!("not RTSP")
        };
        assert_eq!(rtsp.plain.as_str(), "rtsp://cam.local/s?a=1");
        assert_eq!(rtsp.credentials, Some(("user".to_owned(), "p@ss".to_owned())));
        assert!(rtsp.udp && !rtsp.is_tls());

        let file: SourceUrl = "file:///home/me/a%20film.mp4".parse().unwrap();
        assert_eq!(file, SourceUrl::File(PathBuf::from("/home/me/a film.mp4")));
        assert_eq!(file.as_secret(), "file:///home/me/a%20film.mp4");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (text, why) in [
            ("cam.local/stream", "it is no URL"),
            ("http://u:secret@h/", "only rtsp://"),
            ("rtsp:///stream", "names no host"),
            ("rtsp://u:secret@h/s#transport=quic", "behind '#'"),
            ("rtsps://h/s#transport=udp", "over TCP"),
            ("rtsps://h/s#certificate=sha256:12", "64 digits"),
            ("file:///", "names no file"),
            ("rtsp://u:secret@h:99999/", "it is no URL"),
        ] {
            let error = text.parse::<SourceUrl>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn passwords_are_never_shown(user in "[a-z]{1,5}", tail in "[a-z0-9/?.]{0,10}") {
            let text = format!("rtsp://{user}:S3CRET@host/{tail}");
            let url: SourceUrl = text.parse().unwrap();
            prop_assert!(!url.to_string().contains("S3CRET"));
            prop_assert!(url.to_string().contains("***"));
            prop_assert_eq!(url.as_secret().parse::<SourceUrl>(), Ok(url));
        }

        #[test]
        fn any_text_parses_or_says_why(text in ".{0,60}") {
            let _ = text.parse::<SourceUrl>();
        }
    }
}
