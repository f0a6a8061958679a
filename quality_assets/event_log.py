"""Where the dagster.yaml of a data root that was prepared before 0.2 looks for its event log.

The next `quality` command on that root writes the present place; until then, and for servers that are still running,
this name answers.
"""

from quality_assets.dagster_ext.event_log import OpenSqliteEventLogStorage

__all__ = ["OpenSqliteEventLogStorage"]
