//! Network devices: dummy, Linux (AF_PACKET, tap, internal), patch.
