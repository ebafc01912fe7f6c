//! Byte streams both ways: what stands behind a serial port or a console. To be written.
