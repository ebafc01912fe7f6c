//! What a kernel's log says: reports of panics, oopses, lock and memory errors, and how long initcalls took.
