//! Stream names in paths.
//!
//! A stream's name has slashes, a parameter of a route has none. So before a request is routed,
//! `/api/v1/streams/cam/door/media.mp4` becomes `/api/v1/streams/cam%2Fdoor/media.mp4`. The last part
//! of the path is taken for what is asked of the stream if it is one of a few known words, else for
//! a part of the name. A stream whose own name ends in such a word is written with `%2F`, which is
//! never taken apart: `/api/v1/streams/cam%2Flive`.

/// What may be asked of a stream, below `/api/v1/streams/`.
const STREAM_WORDS: [&str; 6] = ["recordings", "keys", "media.mp4", "live", "live.mjpeg", "tier"];

/// The path with the slashes of the stream's name encoded; `None` if it is to stay as it is.
pub(crate) fn fold(path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("/api/v1/streams/") {
        Some(join("/api/v1/streams/", rest, |last| STREAM_WORDS.contains(&last)))
    } else if let Some(rest) = path.strip_prefix("/api/v1/sources/") {
        Some(join("/api/v1/sources/", rest, |_| false))
    } else {
        path.strip_prefix("/hls/").map(|rest| join("/hls/", rest, |_| true))
    }
}

fn join(prefix: &str, rest: &str, is_word: impl Fn(&str) -> bool) -> String {
    let rest = rest.trim_end_matches('/');
    match rest.rsplit_once('/') {
        Some((name, word)) if is_word(word) => format!("{prefix}{}/{word}", encode(name)),
        _ => format!("{prefix}{}", encode(rest)),
    }
}

fn encode(name: &str) -> String {
    name.trim_start_matches('/').replace('/', "%2F")
}

/// A stream's name as the route has it (decoded, without its first slash).
pub(crate) fn in_path(name: &pegasus_base::StreamName) -> String {
    name.as_str().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_become_one_part() {
        for (path, folded) in [
            ("/api/v1/streams/cam/door/media.mp4", "/api/v1/streams/cam%2Fdoor/media.mp4"),
            ("/api/v1/streams/cam%2Fdoor/media.mp4", "/api/v1/streams/cam%2Fdoor/media.mp4"),
            ("/api/v1/streams/cam/door", "/api/v1/streams/cam%2Fdoor"),
            ("/api/v1/streams/cam%2Flive", "/api/v1/streams/cam%2Flive"),
            ("/api/v1/streams/cam%2Flive/live", "/api/v1/streams/cam%2Flive/live"),
            ("/api/v1/streams/live", "/api/v1/streams/live"),
            ("/api/v1/streams/cam/door/keys", "/api/v1/streams/cam%2Fdoor/keys"),
            ("/api/v1/streams/cam/door/tier", "/api/v1/streams/cam%2Fdoor/tier"),
            ("/api/v1/streams//cam/door/recordings", "/api/v1/streams/cam%2Fdoor/recordings"),
            ("/api/v1/sources/cam/live", "/api/v1/sources/cam%2Flive"),
            ("/hls/cam/door/index.m3u8", "/hls/cam%2Fdoor/index.m3u8"),
        ] {
            assert_eq!(fold(path).as_deref(), Some(folded), "{path}");
        }
        assert_eq!(fold("/api/v1/streams"), None);
        assert_eq!(fold("/assets/a.js"), None);
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(path in "(/api/v1/streams|/api/v1/sources|/hls)(/[a-z%2F./]{0,12}){0,5}") {
            if let Some(once) = fold(&path)
                && let Some(twice) = fold(&once)
            {
                prop_assert_eq!(twice, once);
            }
        }
    }
}
