"""Where files and databases are opened: DuckDB access, the lake, readers, the snapshot publisher. No dagster here,
except the IO manager in `io_manager.py`."""
