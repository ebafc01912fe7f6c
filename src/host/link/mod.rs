//! Network links: Ethernet frames in and out. To be written.
