//! The self-test: a guest embedded in the binary that drives every device from inside. To be written.
