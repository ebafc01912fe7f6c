//! The machine: parts with one lifecycle, vCPU threads, one thread that decides. To be written.
