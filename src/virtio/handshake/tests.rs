use super::*;
use crate::virtio::guest::{Guest, MEMORY, NEEDS_RESET, Over, VERSION_1, WAYS};
use crate::virtio::toy::Toy;

fn guest(over: Over) -> Guest {
    Guest::with(Box::new(Toy::new()), over)
}

/// What the device was started with.
fn started_with(over: Over, features: u64, then: impl Fn(&mut Guest)) -> String {
    let toy = Toy::new();
    let calls = toy.calls.clone();
    let mut g = Guest::with(Box::new(toy), over);
    assert!(g.negotiate(features));
    g.set_up_queues(8);
    then(&mut g);
    g.set_status(15);
    g.set_status(0);
    let start = calls.lock().iter().find(|c| c.starts_with("start")).cloned();
    start.unwrap_or_default()
}

#[test]
fn the_device_gets_what_was_negotiated_and_no_later_change_of_mind() {
    for over in WAYS {
        let all = 0b101 | RING_INDIRECT_DESC | RING_EVENT_IDX | super::VERSION_1;
        assert_eq!(guest(over).offered(), all);
        let start = started_with(over, VERSION_1 | 4, |g| g.accept(0, 0b101));
        assert_eq!(start, "start 0x100000004 on test0");
    }
}

#[test]
fn all_steps_may_come_in_one_write() {
    for over in WAYS {
        let g = guest(over);
        g.accept(0, 1);
        g.set_status(15);
        assert_eq!(g.status(), ACKNOWLEDGE | DRIVER, "VERSION_1 was not accepted");
        g.accept(1, 1);
        g.set_status(15);
        assert_eq!(g.status(), 15);
    }
}

#[test]
fn a_queue_in_use_is_not_changed() {
    for over in WAYS {
        let mut g = guest(over);
        g.boot();
        let size = |g: &Guest| match over {
            Over::Mmio => 16,
            _ => g.max_size(0),
        };
        assert_eq!(size(&g), 16);
        g.set_size(0, 4);
        g.enable(0, [MEMORY * 2; 3]);
        assert_eq!((size(&g), g.status() & NEEDS_RESET), (16, 0));
        // Set up, but not running yet: an enabled queue keeps its size and place.
        assert!(g.negotiate(g.offered()));
        g.set_up_queues(16);
        g.set_size(0, 4);
        g.enable(0, [MEMORY * 2; 3]);
        assert_eq!(size(&g), 16);
        g.set_status(15);
        assert_eq!(g.status(), 15);
    }
}

#[test]
fn nothing_is_enabled_or_resized_while_it_runs() {
    for over in WAYS {
        let g = guest(over);
        assert!(g.negotiate(VERSION_1));
        g.enable(0, g.areas(0));
        g.set_status(15);
        g.set_size(1, 4);
        g.enable(1, g.areas(1));
        assert_eq!((g.is_enabled(0), g.is_enabled(1), g.max_size(1)), (true, false, 16), "{over:?}");
    }
}

#[test]
fn queues_that_are_not_enabled_are_not_used() {
    for over in WAYS {
        let start = started_with(over, VERSION_1, |g| {
            g.negotiate(VERSION_1);
            g.enable(1, g.areas(1));
            g.set_status(15);
            assert_eq!(g.doors.attached().len(), 1);
        });
        assert_eq!(start, "start 0x100000000 on test0");
    }
}

#[test]
fn a_device_that_goes_away_stops_first() {
    for over in WAYS {
        let toy = Toy::new();
        let calls = toy.calls.clone();
        let mut g = Guest::with(Box::new(toy), over);
        g.boot();
        drop(g);
        assert_eq!(calls.lock().last().unwrap(), "quiesce");
    }
}
