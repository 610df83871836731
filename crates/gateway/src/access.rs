//! Who may come in: the same answer at every door.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Who may come in. Cheap to clone.
///
/// Without credentials everybody may: then the node listens on loopback only. With them the doors
/// ask for one user and password, by `Basic` (RFC 7617) or whatever else a door speaks.
///
/// ```
/// use pegasus_gateway::Access;
/// let access = Access::credentials("admin", "secret")?;
/// assert!(access.check_basic(Some("Basic YWRtaW46c2VjcmV0")));
/// assert!(!access.check_basic(None));
/// assert!(Access::open().check_basic(None));
/// # Ok::<(), pegasus_gateway::AccessError>(())
/// ```
#[derive(Clone)]
pub struct Access(Option<Arc<Credentials>>);

struct Credentials {
    user: String,
    /// SHA-256 of the password.
    digest: [u8; 32],
    /// The password itself, where the configuration has it so: only with it can a challenge that
    /// hashes the password (RFC 7616) be checked.
    password: Option<String>,
}

/// Why credentials can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A digest that is none.
    #[error("the password begins with 'sha256:' but 64 hexadecimal digits do not follow")]
    Digest,
    /// RFC 7617 has no way to send such a user.
    #[error("the user may be neither empty nor contain ':'")]
    User,
}

/// What stands before a password that is given as its hexadecimal SHA-256.
const DIGEST_PREFIX: &str = "sha256:";

impl Access {
    /// Everybody may come in.
    #[must_use]
    pub const fn open() -> Self {
        Self(None)
    }

    /// Only `user` with `password` may come in. The password stands as it is, or as `sha256:` and
    /// its hexadecimal digest.
    ///
    /// # Errors
    /// [`AccessError::Digest`] for a malformed digest, [`AccessError::User`] for a user that can't be
    /// sent.
    pub fn credentials(user: &str, password: &str) -> Result<Self, AccessError> {
        if user.is_empty() || user.contains(':') {
            return Err(AccessError::User);
        }
        let (digest, plain) = match password.strip_prefix(DIGEST_PREFIX) {
            Some(hex) => (parse_hex(hex).ok_or(AccessError::Digest)?, None),
            None => (sha256(password.as_bytes()), Some(password.to_owned())),
        };
        let credentials = Credentials { user: user.to_owned(), digest, password: plain };
        Ok(Self(Some(Arc::new(credentials))))
    }

    /// Whether everybody may come in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Whether `user` with `password` may come in. Takes the same time wherever they differ.
    #[must_use]
    pub fn check(&self, user: &str, password: &str) -> bool {
        let Some(wanted) = &self.0 else { return true };
        let user_is = same(&sha256(user.as_bytes()), &sha256(wanted.user.as_bytes()));
        let password_is = same(&sha256(password.as_bytes()), &wanted.digest);
        user_is & password_is
    }

    /// Whether an `Authorization` header of the `Basic` scheme (RFC 7617) lets its sender in.
    #[must_use]
    pub fn check_basic(&self, header: Option<&str>) -> bool {
        if self.is_open() {
            return true;
        }
        let pair = header.and_then(decode_basic).unwrap_or_default();
        // Without a colon there is no password: compared all the same, for the same time.
        let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
        self.check(user, password)
    }

    /// The user and the password as it is; `None` where everybody may come in, or only the
    /// password's digest is known.
    #[must_use]
    pub fn plain(&self) -> Option<(&str, &str)> {
        let credentials = self.0.as_deref()?;
        Some((&credentials.user, credentials.password.as_deref()?))
    }
}

/// Says nothing of the password.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("open"),
            Some(credentials) => write!(f, "credentials of {}", credentials.user),
        }
    }
}

fn decode_basic(header: &str) -> Option<String> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Equality that looks at every byte whatever it finds.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |acc, (a, b)| black_box(acc | (a ^ b)));
    black_box(difference) == 0
}

fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.trim().as_bytes();
    let mut out = [0; 32];
    if digits.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn a_digest_stands_for_the_password() {
        let digest = "sha256:2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B";
        let access = Access::credentials("admin", digest).unwrap();
        assert!(access.check_basic(Some(&basic("admin:secret"))));
        assert!(!access.check_basic(Some(&basic(&format!("admin:{digest}")))));
        assert_eq!(access.plain(), None);
        assert_eq!(
            Access::credentials("admin", "sha256:12").unwrap_err(),
            AccessError::Digest,
            "short digests are not passwords"
        );
    }

    #[test]
    fn only_the_right_pair_comes_in() {
        let access = Access::credentials("admin", "se:cret").unwrap();
        assert!(access.check_basic(Some(&basic("admin:se:cret"))));
        assert!(access.check_basic(Some(&basic("admin:se:cret").replace("Basic", "basic"))));
        for pair in ["admin:secret", "Admin:se:cret", "admin", ":", "", "admin:se:cret "] {
            assert!(!access.check_basic(Some(&basic(pair))), "{pair}");
        }
        for header in ["Bearer x", "Basic !!!", "Basic", ""] {
            assert!(!access.check_basic(Some(header)), "{header}");
        }
    }

    #[test]
    fn a_user_with_a_colon_can_never_be_sent() {
        assert_eq!(Access::credentials("a:b", "c").unwrap_err(), AccessError::User);
    }

    #[test]
    fn debug_output_keeps_the_password() {
        let access = Access::credentials("admin", "hunter2").unwrap();
        assert!(!format!("{access:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_other_password_stays_out(password in ".{0,20}") {
            let access = Access::credentials("admin", "the one").unwrap();
            prop_assert_eq!(access.check("admin", &password), password == "the one");
        }
    }
}
