"""The database behind one port, `alertd.ports.Store`: SQLite or PostgreSQL."""
