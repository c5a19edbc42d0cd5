"""Where alertd reads usage and cost: one file a kind, its name is the kind."""
