"""From where everything stands to what must be said, and to whom. It sends nothing."""
