//! Connection state machines: reconnection, JSON-RPC and OpenFlow framing. Bytes in, bytes out.
