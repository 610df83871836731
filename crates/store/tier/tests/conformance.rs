//! What is asked of any store of objects, asked of each kind there is.

use std::time::Duration;

use bytes::Bytes;
use pegasus_tier::{Error, Listed, Tier};

/// Everything in turn; `tier` is empty.
fn conforms(tier: &Tier) {
    is_empty_at_first(tier);
    what_is_put_is_read(tier);
    ranges_are_exact(tier);
    names_are_kept_apart(tier);
    what_is_put_again_is_the_new(tier);
    deleting_is_final_and_may_be_repeated(tier);
    large_ones_come_whole(tier);
}

fn is_empty_at_first(tier: &Tier) {
    assert_eq!(tier.list("store").unwrap(), []);
    assert_eq!(tier.len_of("store/a").unwrap(), None);
    let missing = tier.get("store/a", 0..1);
    assert!(matches!(missing, Err(Error::Missing { .. })), "{missing:?}");
}

fn what_is_put_is_read(tier: &Tier) {
    tier.put("store/cam/door/0001.seg", Bytes::from_static(b"some bytes")).unwrap();
    assert_eq!(tier.len_of("store/cam/door/0001.seg").unwrap(), Some(10));
    assert_eq!(tier.get("store/cam/door/0001.seg", 0..10).unwrap(), "some bytes");
    tier.put("store/empty", Bytes::new()).unwrap();
    assert_eq!(tier.len_of("store/empty").unwrap(), Some(0));
    assert_eq!(tier.get("store/empty", 0..0).unwrap(), "");
    tier.delete("store/empty").unwrap();
}

fn ranges_are_exact(tier: &Tier) {
    let name = "store/cam/door/0001.seg";
    assert_eq!(tier.get(name, 5..10).unwrap(), "bytes");
    assert_eq!(tier.get(name, 0..1).unwrap(), "s");
    for range in [5..11, 10..11, 100..200] {
        let beyond = tier.get(name, range);
        assert!(matches!(beyond, Err(Error::Failed { .. })), "{beyond:?}");
    }
}

fn names_are_kept_apart(tier: &Tier) {
    for name in ["store/cam/door-2/0001.seg", "store/cam/door.old/a_b", "storeroom/x"] {
        tier.put(name, Bytes::from_static(b"x")).unwrap();
    }
    let listed = |folder| -> Vec<String> {
        tier.list(folder).unwrap().into_iter().map(|listed| listed.name).collect()
    };
    assert_eq!(
        tier.list("store/cam/door").unwrap(),
        [Listed { name: "store/cam/door/0001.seg".to_owned(), bytes: 10 }]
    );
    let all = ["store/cam/door-2/0001.seg", "store/cam/door.old/a_b", "store/cam/door/0001.seg"];
    assert_eq!(listed("store"), all);
    assert_eq!(listed("storeroom"), ["storeroom/x"]);
    assert_eq!(listed("nothing").len(), 0);
}

fn what_is_put_again_is_the_new(tier: &Tier) {
    tier.put("store/again", Bytes::from_static(b"longer than what follows")).unwrap();
    tier.put("store/again", Bytes::from_static(b"shorter")).unwrap();
    assert_eq!(tier.len_of("store/again").unwrap(), Some(7));
    assert_eq!(tier.get("store/again", 0..7).unwrap(), "shorter");
}

fn deleting_is_final_and_may_be_repeated(tier: &Tier) {
    tier.delete("store/again").unwrap();
    tier.delete("store/again").unwrap();
    tier.delete("never/was").unwrap();
    assert_eq!(tier.len_of("store/again").unwrap(), None);
    assert!(!tier.list("store").unwrap().iter().any(|listed| listed.name.contains("again")));
}

fn large_ones_come_whole(tier: &Tier) {
    let mut bytes = vec![0; 20 << 20];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    let bytes = Bytes::from(bytes);
    tier.put("store/large", bytes.clone()).unwrap();
    assert!(tier.get("store/large", 0..20 << 20).unwrap() == bytes);
    assert!(
        tier.get("store/large", 9_999_999..10_000_007).unwrap() == bytes[9_999_999..10_000_007]
    );
}

#[test]
fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&Tier::folder(folder.path()).unwrap());
}

#[test]
fn a_folder_that_is_gone_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("objects");
    let missing = Tier::folder(&inside);
    assert!(matches!(missing, Err(Error::Settings { .. })), "{missing:?}");
}

#[test]
fn a_clone_outlives_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let tier = Tier::folder(folder.path()).unwrap();
    let clone = tier.clone();
    drop(tier);
    clone.put("a", Bytes::from_static(b"a")).unwrap();
    let reader = std::thread::spawn(move || clone.get("a", 0..1).unwrap());
    assert_eq!(reader.join().unwrap(), "a");
}

#[test]
fn what_was_given_up_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let tier = Tier::folder(folder.path()).unwrap();
    tier.clone().give_up();
    let outcome = tier.put("a", Bytes::from_static(b"a"));
    assert!(matches!(outcome, Err(Error::Failed { .. })), "{outcome:?}");
}

#[cfg(feature = "s3")]
mod s3 {
    use super::*;
    use pegasus_tier::S3Options;
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    /// Where `scripts/tools test` puts it, if it isn't on the path.
    fn program() -> PathBuf {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
        let aside = cache.or_else(home).unwrap_or_default();
        let aside = aside.join("pegasus-tools/moto/bin/moto_server");
        if aside.exists() { aside } else { "moto_server".into() }
    }

    /// A server of the test's own; it ends with it.
    struct Server {
        child: Child,
        address: SocketAddr,
    }

    impl Server {
        fn start() -> Self {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let child = Command::new(program())
                .args(["-H", "127.0.0.1", "-p", &free.port().to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("moto_server is not installed: `scripts/tools test` does it");
            let server = Self { child, address: free };
            while TcpStream::connect(free).is_err() {
                std::thread::sleep(Duration::from_millis(50));
            }
            server.make_bucket("films");
            server
        }

        fn make_bucket(&self, name: &str) {
            let mut stream = TcpStream::connect(self.address).unwrap();
            let host = self.address;
            write!(
                stream,
                "PUT /{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }

        fn options(&self, prefix: &str) -> S3Options {
            S3Options {
                bucket: "films".to_owned(),
                prefix: prefix.to_owned(),
                endpoint: Some(format!("http://{}", self.address)),
                region: None,
                key: Some(("name".to_owned(), "secret-key".to_owned())),
            }
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn a_bucket_conforms_with_and_without_a_prefix() {
        let server = Server::start();
        conforms(&Tier::s3(&server.options("some/where")).unwrap());
        conforms(&Tier::s3(&server.options("")).unwrap());
    }

    #[test]
    fn a_server_that_is_gone_is_an_error_and_comes_back() {
        let mut server = Server::start();
        let tier = Tier::s3(&server.options("")).unwrap();
        tier.put("a", Bytes::from_static(b"a")).unwrap();
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        let gone = tier.get("a", 0..1);
        assert!(matches!(gone, Err(Error::Failed { .. })), "{gone:?}");
        assert!(!format!("{gone:?}").contains("secret-key"));
        // The same handle, when another server is there.
        let address = server.address;
        server.child = Command::new(program())
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(50));
        }
        server.make_bucket("films");
        tier.put("a", Bytes::from_static(b"b")).unwrap();
        assert_eq!(tier.get("a", 0..1).unwrap(), "b");
    }

    #[test]
    fn a_bucket_that_is_not_there_is_an_error() {
        let server = Server::start();
        let options = S3Options { bucket: "elsewhere".to_owned(), ..server.options("") };
        let refused = Tier::s3(&options).unwrap().put("a", Bytes::from_static(b"a"));
        assert!(refused.is_err(), "{refused:?}");
    }

    #[test]
    fn the_key_is_not_told() {
        let options = S3Options {
            key: Some(("name".to_owned(), "secret-key".to_owned())),
            ..S3Options::default()
        };
        assert!(!format!("{options:?}").contains("secret-key"));
    }
}
