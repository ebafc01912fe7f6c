//! PROVISIONAL
use crate::{bus::Mmio, host::stream::Stream, irq::Line, part::Part};
use std::sync::Arc;
pub struct Serial(String, Arc<dyn Stream>);
impl Serial {
    pub fn new(n: &str, _l: Arc<dyn Line>, s: Arc<dyn Stream>) -> Arc<Serial> {
        Arc::new(Serial(n.into(), s))
    }
}
impl Mmio for Serial {
    fn read(&self, o: u64, d: &mut [u8]) {
        d.fill(if o == 5 { 0x60 } else { 0 });
    }
    fn write(&self, o: u64, d: &[u8]) {
        if o == 0 {
            self.1.write(d)
        }
    }
}
impl Part for Serial {
    fn name(&self) -> &str {
        &self.0
    }
    fn reset(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
