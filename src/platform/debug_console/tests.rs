use super::*;
use crate::platform::rig::read8;

#[test]
fn text_goes_to_the_file_as_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let console = DebugConsole::new(Some(file.reopen().unwrap()));
    assert_eq!(read8(&console, 0), 0xe9);
    console.write(0, b"S");
    console.write(0, b"ea\r\n\xff");
    assert_eq!(std::fs::read(file.path()).unwrap(), b"Sea\r\n\xff");
}

#[test]
fn a_line_without_an_end_does_not_grow() {
    let console = DebugConsole::new(None);
    for _ in 0..10_000 {
        console.write(0, b"xyzw");
    }
    let Sink::Log(line) = &*console.0.lock() else { panic!() };
    assert!(line.len() < LINE && line.capacity() <= 2 * LINE);
}
