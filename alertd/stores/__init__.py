"""The durable state: one port, `alertd.ports.Store`, over SQLite, PostgreSQL and memory."""
