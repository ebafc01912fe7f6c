use super::*;
use crate::platform::rig;
use proptest::prelude::*;

#[test]
fn a_panic_is_reported_and_a_crash_kernel_is_not() {
    let (notify, told) = rig::requests();
    let port = PvPanic::new(notify);
    assert_eq!(rig::read8(&port, 0), 3);
    port.write(0, &[CRASH_LOADED]);
    port.write(0, &[0xfc]);
    assert_eq!(*told.lock(), []);
    port.write(0, &[PANICKED]);
    port.write(0, &[PANICKED | CRASH_LOADED]);
    assert_eq!(*told.lock(), [Request::Panicked, Request::Panicked]);
}

proptest! {
    #[test]
    fn any_access_is_harmless(accesses in rig::accesses(1)) {
        let (notify, told) = rig::requests();
        let port = PvPanic::new(notify);
        accesses.iter().for_each(|a| a.run(&port));
        let panics = accesses.iter().filter(|a| a.store && a.data[0] & 1 == 1).count();
        prop_assert_eq!(told.lock().len(), panics);
        prop_assert_eq!(rig::read8(&port, 0), 3);
    }
}
