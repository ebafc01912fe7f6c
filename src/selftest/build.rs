//! Builds the self-test guest. To be written.

fn main() {}
