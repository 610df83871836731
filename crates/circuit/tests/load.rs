//! Many threads at once.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::{KEY_EVERY, name, number, picture, pictures, switch};
use pegasus_circuit::{Event, Limits, Sink, Start, Switch};

/// Takes a whole run and checks it: units in order, and each is taken or accounted as lost.
struct Account {
    next: Option<u64>,
    taken: u64,
    lost: u64,
}

impl Account {
    fn new() -> Self {
        Self { next: None, taken: 0, lost: 0 }
    }

    /// False once the publisher has left.
    fn enter(&mut self, event: &Event) -> bool {
        match event {
            Event::Unit(unit) => {
                let n = number(unit);
                assert!(n == *self.next.get_or_insert(n), "picture {n} out of turn");
                self.next = Some(n + 1);
                self.taken += 1;
            }
            Event::Lost(loss) => {
                self.lost += loss.units;
                self.next = self.next.map(|next| next + loss.units);
            }
            Event::Live(_) => {}
            Event::Idle | Event::Closed => return false,
        }
        true
    }
}

fn take_blocking(mut sink: Sink, nap: impl Fn(u64)) -> Account {
    let mut account = Account::new();
    let mut events = Vec::new();
    loop {
        events.clear();
        assert!(sink.wait_many(&mut events, 64, Duration::from_secs(30)) > 0, "never woken");
        for event in &events {
            if !account.enter(event) {
                return account;
            }
        }
        nap(account.taken);
    }
}

async fn take_async(mut sink: Sink) -> Account {
    let mut account = Account::new();
    while account.enter(&sink.next().await) {}
    account
}

#[test]
fn every_unit_is_taken_or_accounted_for() {
    const UNITS: u64 = 100_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let switch = Switch::new(Limits { units: 500, units_max: 2_000, ..Limits::default() });
    let subscribe = || switch.subscribe(&name(), Start::KeyUnit);
    let mut threads = Vec::new();
    for slow in [false, true] {
        let sink = subscribe();
        let nap = move |taken: u64| {
            if slow && taken.is_multiple_of(3) {
                thread::sleep(Duration::from_millis(1));
            }
        };
        threads.push(thread::spawn(move || take_blocking(sink, nap)));
    }
    let tasks: Vec<_> = (0..6).map(|_| runtime.spawn(take_async(subscribe()))).collect();
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    (0..UNITS).for_each(|n| source.send(picture(n)));
    drop(source);
    let mut accounts: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    accounts.extend(tasks.into_iter().map(|task| runtime.block_on(task).unwrap()));
    for account in &accounts {
        assert_eq!(account.taken + account.lost, UNITS);
    }
    assert!(accounts[1].lost > 0, "the slow one was not slow enough to test anything");
}

/// The publisher waits for the fast sink only, so that its loss would be the slow sink's doing.
#[test]
fn a_sink_that_never_looks_costs_the_others_nothing() {
    const UNITS: u64 = 20_000;
    let switch = Switch::new(Limits { units: 500, ..Limits::default() });
    let mut asleep = switch.subscribe(&name(), Start::KeyUnit);
    let fast = switch.subscribe(&name(), Start::KeyUnit);
    let progress = Arc::new(AtomicU64::new(0));
    let taken = Arc::clone(&progress);
    let fast = thread::spawn(move || take_blocking(fast, |n| taken.store(n, Ordering::Release)));
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    for n in 0..UNITS {
        while n > progress.load(Ordering::Acquire) + 200 {
            thread::yield_now();
        }
        source.send(picture(n));
    }
    drop(source);
    let account = fast.join().unwrap();
    assert_eq!((account.taken, account.lost), (UNITS, 0));
    let mut account = Account::new();
    while account.enter(&asleep.try_next().expect("idle comes last")) {}
    assert_eq!(account.taken + account.lost, UNITS);
    assert!(account.taken <= KEY_EVERY, "it goes on with the newest group");
}

/// On one thread, a sink that always finds a unit must not keep the thread for itself.
#[tokio::test(flavor = "current_thread")]
async fn a_busy_sink_lets_other_tasks_run() {
    let switch = switch();
    let sink = switch.subscribe(&name(), Start::KeyUnit);
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    source.send_many((0..2_000).map(picture));
    drop(source);
    let done = Arc::new(AtomicBool::new(false));
    let finished = Arc::clone(&done);
    let busy = tokio::spawn(async move {
        let account = take_async(sink).await;
        finished.store(true, Ordering::SeqCst);
        account
    });
    tokio::task::yield_now().await;
    assert!(!done.load(Ordering::SeqCst), "it took all 2000 units in one go");
    assert_eq!(busy.await.unwrap().taken, 2_000);
}

#[test]
fn publishers_and_sinks_come_and_go_at_once() {
    let switch = switch();
    let churn = |seed: u64| {
        let switch = switch.clone();
        thread::spawn(move || {
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..3_000 {
                if rng.bool() {
                    if let Ok(source) = switch.publish(&name(), "test", pictures()) {
                        (0..rng.u64(0..30)).for_each(|n| source.send(picture(n)));
                    }
                } else {
                    let mut sink = switch.subscribe(&name(), Start::Held);
                    (0..rng.u8(..20)).for_each(|_| drop(sink.try_next()));
                }
            }
        })
    };
    let threads: Vec<_> = (0..4).map(churn).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(switch.streams().is_empty(), "what is not used is not kept");
}
