//! A matrix of boots: kernels x machines x tests, many at once, with reports that people and machines read.
