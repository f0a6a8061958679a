"""Where DuckDB puts what does not fit into its memory."""

from __future__ import annotations

from pathlib import Path

import duckdb


def spill_to(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Have DuckDB put what does not fit into memory into `folder`, which it makes once it needs it.

    Connections of one process to one file share where that is, and once one has used it DuckDB refuses to be told
    again, even the same.
    """
    if connection.execute("select current_setting('temp_directory')").fetchall() != [(str(folder),)]:
        connection.execute("SET temp_directory = ?", [str(folder)])
