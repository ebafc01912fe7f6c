use super::*;
use crate::control::picture::png;
use crate::host::screen::{Brush, Rank, Source};
use crate::sys::{EventFd, eventfd, fd};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Weak;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Says when somebody looks.
struct Quiet(EventFd, AtomicU32);

impl Source for Quiet {
    fn watched(&self, yes: bool) {
        self.1.store(u32::from(yes), Ordering::SeqCst);
        if yes {
            self.0.write(1).unwrap();
        }
    }
}

const SIZE: Size = Size { width: 40, height: 20 };

fn shown() -> (Arc<Screen>, Brush, Arc<Quiet>) {
    let screen = Screen::new();
    let source = Arc::new(Quiet(eventfd().unwrap(), AtomicU32::new(0)));
    let weak: Weak<dyn Source> = Arc::downgrade(&(source.clone() as Arc<dyn Source>));
    let brush = screen.attach(Rank::Early, weak);
    brush.show(SIZE);
    (screen, brush, source)
}

fn reference(pixel: u32) -> Reference {
    let file = png(&Picture { size: SIZE, pixels: vec![pixel; SIZE.pixels()] }).unwrap();
    Reference::parse(&file, 0.0).unwrap()
}

fn paint(brush: &Brush, pixel: u32) {
    brush.draw(SIZE.whole(), |_, row| row.fill(pixel));
}

#[test]
fn what_is_there_already_is_seen_at_once() {
    let (screen, brush, _) = shown();
    paint(&brush, 7);
    let (here, _there) = UnixStream::pair().unwrap();
    let seen = wait(&screen, &reference(7), here.as_fd(), Some(Instant::now())).unwrap();
    assert!(matches!(seen, Seen::Shown(picture) if picture.size == SIZE && picture.pixels == [7; 800]));
}

#[test]
fn what_comes_later_is_seen_when_it_comes() {
    let (screen, brush, source) = shown();
    let (here, _there) = UnixStream::pair().unwrap();
    let waits = thread::spawn(move || wait(&screen, &reference(9), here.as_fd(), None).unwrap());
    fd::wait_readable([fd::of(&source.0)]).unwrap();
    (1..=9).for_each(|pixel| paint(&brush, pixel));
    assert!(matches!(waits.join().unwrap(), Seen::Shown(_)));
    assert_eq!(source.1.load(Ordering::SeqCst), 0, "nobody looks any more");
}

#[test]
fn what_does_not_come_is_told_with_what_was_there() {
    let (screen, brush, _) = shown();
    let (here, _there) = UnixStream::pair().unwrap();
    let late = |text: &str| {
        let seen = wait(&screen, &reference(9), here.as_fd(), Some(Instant::now())).unwrap();
        assert!(matches!(&seen, Seen::Late(why) if why.contains(text)), "{seen:?}");
    };
    brush.draw(crate::host::screen::Rect { x: 0, y: 0, width: 40, height: 10 }, |_, row| row.fill(9));
    late("50.00 percent");
    brush.show(Size { width: 41, height: 20 });
    late("41x20");
    brush.hide();
    late("nothing");
}

#[test]
fn who_leaves_is_waited_for_no_longer() {
    let (screen, _brush, source) = shown();
    let (here, there) = UnixStream::pair().unwrap();
    let waits = thread::spawn(move || wait(&screen, &reference(9), here.as_fd(), None).unwrap());
    fd::wait_readable([fd::of(&source.0)]).unwrap();
    drop(there);
    assert!(matches!(waits.join().unwrap(), Seen::Left(_)));
}

#[test]
fn a_screen_that_never_rests_does_not_outlast_the_deadline() {
    let (screen, brush, _) = shown();
    let done = Arc::new(AtomicU32::new(0));
    let stop = done.clone();
    let paints = thread::spawn(move || {
        let mut pixel = 10;
        while stop.load(Ordering::SeqCst) == 0 {
            paint(&brush, pixel);
            pixel ^= 1;
        }
    });
    let (here, _there) = UnixStream::pair().unwrap();
    let deadline = Instant::now() + Duration::from_millis(60);
    let seen = wait(&screen, &reference(9), here.as_fd(), Some(deadline)).unwrap();
    done.store(1, Ordering::SeqCst);
    paints.join().unwrap();
    assert!(matches!(seen, Seen::Late(_)));
}
