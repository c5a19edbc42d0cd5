"""Facts in, decisions out: nothing here reads a clock, a disk or a socket."""
