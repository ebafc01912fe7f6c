use super::*;
use crate::irq::fakes::Level;

#[test]
fn the_line_is_up_while_any_source_pulls_it() {
    let line = Arc::new(Level::default());
    let shared = Shared::new(line.clone());
    let (a, b) = (shared.wire(), shared.wire());
    for (wire, asserted, up) in [
        (&a, false, false),
        (&a, true, true),
        (&a, true, true),
        (&b, true, true),
        (&a, false, true),
        (&a, false, true),
        (&b, false, false),
    ] {
        wire.set(asserted);
        assert_eq!(line.up(), up);
    }
    a.set(true);
    a.set(true);
    a.set(false);
    assert!(!line.up(), "asserting twice is asserting once");
    b.set(true);
    assert!(line.up());
    drop(b);
    assert!(!line.up(), "a source that goes away lets go");
    assert_eq!(line.rises(), 3);
}
