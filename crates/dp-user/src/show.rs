//! Text of the control commands about polling threads.
