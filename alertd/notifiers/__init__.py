"""How messages are sent: one file for each kind, whose name is the kind. They do not know each other."""
