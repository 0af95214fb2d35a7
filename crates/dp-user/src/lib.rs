//! The userspace datapath: polling threads, caches and execution of actions.
