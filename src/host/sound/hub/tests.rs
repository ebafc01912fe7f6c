use super::super::{Null, Sample};
use super::*;
use crate::sys::fd::wait_readable;
use crate::sys::readiness::{self, Watch};
use std::time::Duration;

const FORMAT: Format = Format { sample: Sample::S16, channels: 2, rate: RATE };

/// Notes what its sink is told.
#[derive(Clone, Default)]
struct Notes(Arc<Lock<Vec<String>>>);

impl Sink for Notes {
    fn start(&mut self, format: Format) {
        self.0.lock().push(format!("start {}", format.rate));
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.lock().push(format!("{bytes:?}"));
    }
    fn stop(&mut self) {
        self.0.lock().push("stop".into());
    }
}

fn rings(ear: &Ear) -> bool {
    let mut watches = [Watch::new(ear.bell(), true, false)];
    readiness::wait(&mut watches, Some(Duration::ZERO)).unwrap();
    watches[0].ready()
}

#[test]
fn all_who_listen_hear_it_and_so_does_the_sink() {
    let (hub, notes) = (Arc::new(Hub::default()), Notes::default());
    assert!(!hub.has_card());
    let mut card = hub.card(Box::new(notes.clone()));
    let (one, two) = (hub.listen().unwrap(), hub.listen().unwrap());
    card.start(FORMAT);
    assert!(!rings(&one), "nothing was played");
    card.write(&[1, 2, 3, 4]);
    card.write(&[5, 6, 7, 8]);
    wait_readable([one.bell()]).unwrap();
    assert_eq!(one.sound(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(!rings(&one) && one.sound().is_empty(), "it has all");
    drop(one);
    card.write(&[9; 4]);
    card.stop();
    assert_eq!(two.sound(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]);
    assert_eq!(*notes.0.lock(), ["start 48000", "[1, 2, 3, 4]", "[5, 6, 7, 8]", "[9, 9, 9, 9]", "stop"]);
    assert!(hub.has_card());
    drop(card);
    assert!(!hub.has_card());
}

#[test]
fn who_is_slow_loses_the_oldest() {
    let hub = Arc::new(Hub::default());
    let mut card = hub.card(Box::new(Null));
    let (slow, quick) = (hub.listen().unwrap(), hub.listen().unwrap());
    card.start(FORMAT);
    let piece = |n: u8| vec![n; 3000];
    for n in 0..200 {
        card.write(&piece(n));
        assert_eq!(quick.sound(), piece(n), "who is not loses nothing");
    }
    let have = slow.sound();
    let want: Vec<u8> = (0..200).flat_map(piece).collect();
    assert_eq!(have.len(), WAITING);
    assert!(want.ends_with(&have));
    card.write(&vec![7; WAITING + 400]);
    assert_eq!(slow.sound(), vec![7; WAITING], "more at once than may wait");
}

#[test]
fn of_several_cards_the_last_to_begin_is_heard() {
    let hub = Arc::new(Hub::default());
    let (mut one, mut two) = (hub.card(Box::new(Null)), hub.card(Box::new(Null)));
    let ear = hub.listen().unwrap();
    one.start(FORMAT);
    one.write(&[1; 4]);
    two.start(FORMAT);
    one.write(&[2; 4]);
    two.write(&[3; 4]);
    one.write(&[4; 4]);
    two.stop();
    two.write(&[5; 4]);
    one.write(&[6; 4]);
    assert_eq!(ear.sound(), [[1; 4], [3; 4], [6; 4]].concat());
    // One that has gone while it played keeps nobody from being heard.
    two.start(FORMAT);
    drop(two);
    one.write(&[7; 4]);
    assert_eq!(ear.sound(), [7; 4]);
}

#[test]
fn a_card_may_change_its_format() {
    let hub = Arc::new(Hub::default());
    let mut card = hub.card(Box::new(Null));
    let ear = hub.listen().unwrap();
    card.start(Format { sample: Sample::U8, channels: 1, ..FORMAT });
    card.write(&[0x80, 0xff]);
    assert_eq!(ear.sound(), [0, 0, 0, 0, 0, 127, 0, 127]);
    card.start(FORMAT);
    card.write(&[1, 2, 3, 4]);
    assert_eq!(ear.sound(), [1, 2, 3, 4]);
    card.start(Format { rate: 24000, ..FORMAT });
    card.write(&[0; 4 * 1000]);
    assert!((1900..2000).contains(&(ear.sound().len() / FRAME)));
}
