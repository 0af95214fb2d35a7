//! Reactor, streams, control sockets, daemonizing, logging, command lines.
