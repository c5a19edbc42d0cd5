"""Where usage and cost are read: one file a kind, its name is the kind."""
