//! What v4.3 wrote is read and written back.
