"""What can be done to a key, one file per kind."""
