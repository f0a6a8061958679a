"""Where files and databases are opened: bytes, not meaning."""
