use super::*;
use crate::platform::rig;
use proptest::prelude::*;

#[test]
fn a_store_of_any_width_is_reported_little_endian() {
    let (notify, told) = rig::requests();
    let port = DebugExit::new(notify);
    port.write(0, &[0x21]);
    port.write(0, &[0x34, 0x12]);
    port.write(0, &[0x78, 0x56, 0x34, 0x12]);
    port.write(2, &[7]);
    port.write(0, &[]);
    let values = [0x21, 0x1234, 0x1234_5678, 7].map(Request::DebugExit);
    assert_eq!(*told.lock(), values);
    assert_eq!(rig::read::<4>(&port, 0), [0; 4]);
}

proptest! {
    #[test]
    fn each_store_ends_once_and_no_load_does(accesses in rig::accesses(4)) {
        let (notify, told) = rig::requests();
        let port = DebugExit::new(notify);
        accesses.iter().for_each(|a| a.run(&port));
        prop_assert_eq!(told.lock().len(), accesses.iter().filter(|a| a.store).count());
    }
}
