use super::*;
use crate::platform::rig::{read8, requests};

#[test]
fn the_gate_is_open_and_bit_0_resets() {
    let (notify, told) = requests();
    let port = Port92::new(notify);
    assert_eq!(read8(&port, 0), 2);
    port.write(0, &[2]);
    port.write(0, &[0]);
    assert!(told.lock().is_empty());
    assert_eq!(read8(&port, 0), 2, "there is no closing it");
    port.write(0, &[3]);
    assert_eq!(*told.lock(), [Request::Reset]);
}
