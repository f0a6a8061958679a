"""What people say and what must be told, in SQLite or PostgreSQL: see README.md."""
