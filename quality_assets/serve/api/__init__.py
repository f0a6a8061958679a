"""The REST API: what the pages show, for scripts and other tools."""
