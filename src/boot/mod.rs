//! Kernel formats: from a file to bytes in guest memory and a point of entry. To be written.
