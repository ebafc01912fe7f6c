use super::*;
use crate::sys::fd::wait_readable;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts what it is told.
#[derive(Default)]
struct Told {
    watched: AtomicU32,
    exposed: AtomicU32,
    refreshed: AtomicU32,
}

impl Source for Told {
    fn refresh(&self) {
        self.refreshed.fetch_add(1, Ordering::Relaxed);
    }
    fn watched(&self, yes: bool) {
        self.watched.store(u32::from(yes), Ordering::Relaxed);
    }
    fn exposed(&self) {
        self.exposed.fetch_add(1, Ordering::Relaxed);
    }
}

fn count(of: &AtomicU32) -> u32 {
    of.load(Ordering::Relaxed)
}

const SIZE: Size = Size { width: 100, height: 50 };

fn shown() -> (Arc<Screen>, Brush, Arc<Told>) {
    let screen = Screen::new();
    let told = Arc::new(Told::default());
    let weak: Weak<dyn Source> = Arc::downgrade(&(told.clone() as Arc<dyn Source>));
    let brush = screen.attach(Rank::Early, weak);
    brush.show(SIZE);
    (screen, brush, told)
}

fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
    Rect { x, y, width, height }
}

#[test]
fn who_begins_to_look_is_told_of_everything() {
    let (screen, brush, _told) = shown();
    brush.draw(rect(0, 0, 1, 1), |_, row| row.fill(7));
    let mut viewer = screen.watch().unwrap();
    wait_readable([viewer.bell()]).unwrap();
    let news = viewer.news();
    assert!(news.resized && news.cursor == Some(None));
    assert_eq!(news.damage, [SIZE.whole()]);
    assert!(viewer.news().damage.is_empty(), "nothing is new twice");
    let mut pixels = Vec::new();
    assert!(viewer.copy(rect(0, 0, 2, 1), &mut pixels));
    assert_eq!(pixels, [7, 0]);
}

#[test]
fn only_what_differs_is_news_to_each_viewer() {
    let (screen, brush, _told) = shown();
    let (mut one, mut two) = (screen.watch().unwrap(), screen.watch().unwrap());
    one.news();
    two.news();
    brush.draw(SIZE.whole(), |y, row| {
        row.fill(0);
        if y == 20 || y == 21 {
            row[40] = 0xff00_0001;
        }
    });
    assert_eq!(one.news().damage, [rect(32, 20, 16, 2)]);
    brush.draw(SIZE.whole(), |y, row| row.fill(if y == 49 { 3 } else { 0 }));
    assert_eq!(one.news().damage, [rect(32, 20, 16, 2), rect(0, 49, 100, 1)], "gone, and new");
    assert_eq!(two.news().damage, [rect(32, 20, 16, 2), rect(0, 49, 100, 1)]);
    brush.draw(SIZE.whole(), |y, row| row.fill(if y == 49 { 3 } else { 0 }));
    assert!(!crate::sys::fd::hung_up(one.bell()), "nothing changed, nobody is woken");
    assert!(one.news().damage.is_empty());
}

#[test]
fn what_lies_outside_is_not_drawn() {
    let (screen, brush, _told) = shown();
    let mut viewer = screen.watch().unwrap();
    viewer.news();
    brush.draw(rect(90, 40, u32::MAX, u32::MAX), |_, row| row.fill(5));
    brush.draw(rect(100, 0, 1, 1), |_, _| panic!("it is outside"));
    brush.draw(rect(u32::MAX, u32::MAX, u32::MAX, u32::MAX), |_, _| panic!("it is outside"));
    assert_eq!(viewer.news().damage, [rect(80, 40, 20, 10)]);
    assert!(!viewer.copy(rect(90, 40, 11, 1), &mut Vec::new()));
}

#[test]
fn a_driver_covers_the_early_screen_and_uncovers_it() {
    let (screen, early, below) = shown();
    let above = Arc::new(Told::default());
    let driver = screen.attach(Rank::Driver, Arc::downgrade(&(above.clone() as Arc<dyn Source>)));
    let mut viewer = screen.watch().unwrap();
    assert_eq!(count(&below.watched), 1);
    let large = Size { width: 200, height: 60 };
    driver.show(large);
    assert_eq!((count(&below.watched), count(&above.watched)), (0, 1));
    assert_eq!(count(&above.exposed), 0, "it draws by itself");
    early.draw(rect(0, 0, 1, 1), |_, row| row.fill(9));
    let news = viewer.news();
    assert_eq!((news.size, news.resized, &*news.damage), (large, true, &[large.whole()][..]));
    assert_eq!(screen.picture().unwrap().pixels[0], 0, "what is covered is not seen");
    driver.hide();
    assert_eq!((count(&below.watched), count(&above.watched), count(&below.exposed)), (1, 0, 1));
    assert_eq!(viewer.news().size, SIZE);
    early.hide();
    assert!(viewer.news().resized && screen.picture().is_none());
    drop(viewer);
}

#[test]
fn sources_know_whether_somebody_looks() {
    let (screen, _brush, told) = shown();
    let one = screen.watch().unwrap();
    let two = screen.watch().unwrap();
    assert_eq!(count(&told.refreshed), 2, "each sees at first what is there");
    drop(one);
    assert_eq!(count(&told.watched), 1);
    drop(two);
    assert_eq!(count(&told.watched), 0);
    screen.picture().unwrap();
    assert_eq!(count(&told.refreshed), 3);
}

#[test]
fn damage_takes_as_few_rectangles_as_rows_of_one_shape_allow() {
    let mut damage = Damage::new(Size { width: 2000, height: 10 });
    assert!(damage.take().is_empty());
    for y in 2..5 {
        damage.cell(0, y);
        damage.cell(1024, y);
        damage.cell(1040, y);
    }
    damage.cell(1999, 9);
    let expected = [rect(0, 2, 16, 3), rect(1024, 2, 32, 3), rect(1984, 9, 16, 1)];
    assert_eq!(damage.take(), expected);
    assert!(damage.take().is_empty());
    damage.all();
    assert_eq!(damage.take(), [rect(0, 0, 2000, 10)]);
}

#[test]
fn sizes_are_bounded() {
    assert!(Size::checked(1920, 1080).is_some() && Size::checked(1, 16384).is_some());
    for (width, height) in [(0, 1), (1, 0), (16385, 1), (16384, 1025), (u32::MAX, u32::MAX)] {
        assert_eq!(Size::checked(width, height), None);
    }
}

#[test]
fn the_pointer_is_in_the_picture_for_those_who_ask() {
    let (screen, brush, _told) = shown();
    brush.draw(SIZE.whole(), |_, row| row.fill(0x20_4060));
    // Opaque, half transparent, and not seen at all.
    let pixels = vec![0xff01_0203, 0x8060_4020, 0x00ff_ffff, 0xff04_0506];
    brush.cursor(Some(Cursor { size: Size { width: 2, height: 2 }, hot: (1, 1), pixels }));
    let plain = screen.picture().unwrap();
    let differing = |at| {
        brush.cursor_at(at);
        let seen = screen.picture_with_pointer().unwrap().pixels;
        let differs = |(i, (new, old)): (usize, (&u32, &u32))| (new != old).then_some((i % 100, i / 100, *new));
        seen.iter().zip(&plain.pixels).enumerate().filter_map(differs).collect::<Vec<_>>()
    };
    assert_eq!(differing((5, 7)), [(5, 7, 0x01_0203), (6, 7, 0x40_4040), (6, 8, 0x04_0506)]);
    assert_eq!(differing((-1, -1)), [(0, 0, 0x04_0506)]);
    assert_eq!(differing((99, 49)), [(99, 49, 0x01_0203)]);
    for outside in [(100, 0), (0, 50), (i32::MAX, i32::MAX), (i32::MIN, i32::MIN)] {
        assert_eq!(differing(outside), [], "{outside:?}");
    }
    let news = screen.watch().unwrap().news();
    assert!(news.cursor.flatten().is_some());
    assert_eq!(screen.picture().unwrap(), plain, "others have none");
}
