//! What sources, sinks and watchers of a switch see.

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{KEY_EVERY, name, number, picture, pictures, switch};
use pegasus_base::Time;
use pegasus_circuit::{Command, Damage, Event, Limits, PublishError, Start, Switch, SwitchEvent};

#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn numbers(events: &[Event]) -> Vec<u64> {
    let unit = |event: &Event| match event {
        Event::Unit(unit) => Some(number(unit)),
        _ => None,
    };
    events.iter().filter_map(unit).collect()
}

fn all(sink: &mut pegasus_circuit::Sink) -> Vec<Event> {
    std::iter::from_fn(|| sink.try_next()).collect()
}

#[test]
fn a_second_publisher_is_told_who_the_first_is() {
    let switch = switch();
    let first = switch.publish(&name(), "rtsp 192.0.2.1:5555", pictures()).unwrap();
    let error = switch.publish(&name(), "rtsp 192.0.2.2:5555", pictures()).unwrap_err();
    assert_eq!(error.to_string(), "/cam/door is already published by rtsp 192.0.2.1:5555");
    drop(first);
    assert!(switch.status(&name()).is_none(), "an unused stream is gone");
    assert!(switch.publish(&name(), "rtsp 192.0.2.2:5555", pictures()).is_ok());
}

#[test]
fn sinks_begin_where_they_asked_to() {
    let switch = switch();
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    source.send_many((0..KEY_EVERY * 2 + 5).map(picture));
    let mut now = switch.subscribe(&name(), Start::Now);
    let mut key = switch.subscribe(&name(), Start::KeyUnit);
    let mut held = switch.subscribe(&name(), Start::Held);
    source.send_many((KEY_EVERY * 2 + 5..KEY_EVERY * 4).map(picture));
    let counts = |from| (from..KEY_EVERY * 4).collect::<Vec<_>>();
    assert_eq!(numbers(&all(&mut now)), counts(KEY_EVERY * 3));
    assert_eq!(numbers(&all(&mut key)), counts(KEY_EVERY * 2));
    assert_eq!(numbers(&all(&mut held)), counts(0));
}

#[test]
fn a_sink_of_an_idle_stream_sees_publishers_come_and_go() {
    let switch = switch();
    let mut sink = switch.subscribe(&name(), Start::Now);
    for _ in 0..2 {
        assert_eq!(sink.try_next(), None);
        let source = switch.publish(&name(), "test", pictures()).unwrap();
        source.send(picture(3)); // not even a key unit: it is the publisher's first
        drop(source);
        assert!(matches!(sink.try_next(), Some(Event::Live(_))));
        assert_eq!(sink.try_next(), Some(Event::Unit(Arc::new(picture(3)))));
        assert_eq!(sink.try_next(), Some(Event::Idle));
    }
}

#[test]
fn a_slow_sink_is_told_exactly_what_it_lost() {
    let limits = Limits { units: 60, ..Limits::default() };
    let switch = Switch::new(limits);
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    let mut sink = switch.subscribe(&name(), Start::KeyUnit).label("slow");
    source.send_many((0..10).map(picture));
    assert_eq!(numbers(&all(&mut sink)), (0..10).collect::<Vec<_>>());
    (10..KEY_EVERY * 8 + 3).for_each(|n| source.send(picture(n)));
    let Some(Event::Lost(loss)) = sink.try_next() else { panic!("nothing lost") };
    assert_eq!(loss.units, KEY_EVERY * 8 - 10);
    assert_eq!((loss.from, loss.to), (picture(10).time, picture(KEY_EVERY * 8).time));
    assert_eq!(numbers(&all(&mut sink)), (KEY_EVERY * 8..KEY_EVERY * 8 + 3).collect::<Vec<_>>());
    let status = switch.status(&name()).unwrap();
    assert_eq!(status.lost_units, loss.units);
    assert_eq!((status.sinks[0].label.as_str(), status.sinks[0].lag_units), ("slow", 0));
}

#[test]
fn damage_on_the_way_to_the_node_is_added_up_over_all_publishers() {
    let switch = switch();
    let _sink = switch.subscribe(&name(), Start::Now);
    for _ in 0..2 {
        let source = switch.publish(&name(), "test", pictures()).unwrap();
        source.damaged(Damage { lost_packets: 3, damaged_units: 2, doubtful_units: 1 });
    }
    let damage = switch.status(&name()).unwrap().damage;
    assert_eq!(damage, Damage { lost_packets: 6, damaged_units: 4, doubtful_units: 2 });
}

#[test]
fn one_wake_up_for_all_that_came_together() {
    let switch = switch();
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    let mut sink = switch.subscribe(&name(), Start::KeyUnit);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let mut events = Vec::new();
    for round in 1..=3 {
        let all_taken = loop {
            match pin!(sink.next_many(&mut events, 1_000)).poll(&mut cx) {
                Poll::Ready(_) => {}
                Poll::Pending => break true,
            }
        };
        assert!(all_taken);
        source.send_many((0..10).map(picture));
        (10..20).for_each(|n| source.send(picture(n))); // the sink has not looked meanwhile
        assert_eq!(count.0.load(Ordering::SeqCst), round);
    }
}

#[test]
fn a_cancelled_wait_loses_nothing() {
    let switch = switch();
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    let mut sink = switch.subscribe(&name(), Start::KeyUnit);
    assert!(matches!(sink.try_next(), Some(Event::Live(_))));
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..100 {
        assert!(pin!(sink.next()).poll(&mut cx).is_pending());
        source.send(picture(n));
        match pin!(sink.next()).poll(&mut cx) {
            Poll::Ready(Event::Unit(unit)) => assert_eq!(number(&unit), n),
            other => panic!("{other:?} instead of picture {n}"),
        }
    }
}

#[tokio::test]
async fn commands_reach_the_publisher_they_were_meant_for() {
    let switch = switch();
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    let mut commands = source.commands();
    source.send_many((0..3).map(picture));
    let sink = switch.subscribe(&name(), Start::KeyUnit);
    assert_eq!(commands.try_next(), None, "a group is at hand, nothing need be asked");
    sink.command(Command::KeyUnit);
    sink.command(Command::KeyUnit);
    assert_eq!(commands.next().await, Some(Command::KeyUnit));
    assert_eq!(commands.try_next(), None, "the same command twice is one");
    let _late = switch.subscribe(&name(), Start::Now);
    assert_eq!(commands.next().await, Some(Command::KeyUnit), "a new sink waits for a group");
    sink.command(Command::KeyUnit);
    let waiting = tokio::spawn(async move {
        assert_eq!(commands.next().await, Some(Command::KeyUnit));
        assert_eq!(commands.next().await, None);
    });
    tokio::task::yield_now().await;
    drop(source);
    waiting.await.unwrap();
    let next = switch.publish(&name(), "another", pictures()).unwrap();
    assert_eq!(next.commands().try_next(), None);
}

#[test]
fn marks_go_both_ways() {
    let switch = switch();
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    let sink = switch.subscribe(&name(), Start::KeyUnit).label("recorder");
    source.send_many((0..KEY_EVERY * 2 + 1).map(picture));
    let times: Vec<_> = sink.marks().into_iter().map(|mark| mark.time).collect();
    assert_eq!(times, [0, 1_000, 2_000].map(Time::from_ms));
    assert_eq!(sink.status().mark.unwrap().position, KEY_EVERY * 2);
    sink.mark(Time::from_ms(960));
    assert_eq!(source.sinks()[0].mark, Some(Time::from_ms(960)));
}

#[tokio::test]
async fn watchers_hear_of_every_change() {
    let switch = switch();
    let mut watch = switch.watch();
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    source.set_tracks(pictures());
    drop(source);
    let name = name();
    for event in [
        SwitchEvent::Live { name: name.clone() },
        SwitchEvent::Tracks { name: name.clone() },
        SwitchEvent::Idle { name },
    ] {
        assert_eq!(watch.recv().await, Ok(event));
    }
}

#[tokio::test]
async fn closing_lets_sinks_finish() {
    let switch = switch();
    let source = switch.publish(&name(), "test", pictures()).unwrap();
    let mut sink = switch.subscribe(&name(), Start::KeyUnit);
    source.send(picture(0));
    switch.close();
    source.send(picture(1)); // too late
    let mut events = Vec::new();
    assert_eq!(sink.next_many(&mut events, 10).await, 4);
    assert_eq!(numbers(&events), [0]);
    assert_eq!(events[2..], [Event::Idle, Event::Closed]);
    assert_eq!(sink.next().await, Event::Closed);
    assert_eq!(source.commands().next().await, None);
    assert!(matches!(
        switch.publish(&name(), "test", pictures()),
        Err(PublishError::Closed { .. })
    ));
    assert_eq!(switch.subscribe(&name(), Start::Now).next().await, Event::Closed);
}

#[test]
fn a_blocked_thread_waits_no_longer_than_it_said() {
    let switch = switch();
    let mut sink = switch.subscribe(&name(), Start::Now);
    let mut events = Vec::new();
    assert_eq!(sink.wait_many(&mut events, 10, Duration::from_millis(20)), 0);
    let publisher = std::thread::spawn({
        let switch = switch.clone();
        move || switch.publish(&name(), "test", pictures()).unwrap().send(picture(0))
    });
    while !events.contains(&Event::Idle) {
        assert!(sink.wait_many(&mut events, 10, Duration::from_secs(10)) > 0, "never woken");
    }
    publisher.join().unwrap();
}

#[test]
#[should_panic(expected = "track 0 was not announced")]
fn a_unit_of_an_unknown_track_is_a_mistake_of_the_program() {
    let source = switch().publish(&name(), "test", Vec::new().into()).unwrap();
    source.send(picture(0));
}
