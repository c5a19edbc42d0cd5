"""What people do to alerts, budgets and actions: one set of functions for commands, API, page and chat."""
