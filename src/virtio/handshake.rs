//! Status and feature negotiation, the same for both transports. To be written.
