"""The models of `impact_project`, one after another: `script` by DuckDB in one connection, `dbt` as dbt runs them.

The script is what somebody who needs the tables once would write: no state, everything anew each time. The same SQL
serves both. What each reads is said in the environment: PEER_EVENTS, PEER_USES, PEER_OUT, PEER_THREADS, PEER_MEMORY_MB.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PROJECT = Path(__file__).parent / "impact_project"
ORDER = (
    "events", "user_sessions", "user_days", "usage", "first_uses", "feature_adoption", "retention", "funnel_entries",
    "funnel_days", "engagement_days", "segment_moves", "segment_days",
)  # fmt: skip


def run_script(out: Path) -> None:
    """Make every table in a DuckDB database."""
    import duckdb
    from jinja2 import Environment

    render = Environment(autoescape=False)
    with duckdb.connect(str(out / "result.duckdb")) as connection:
        connection.execute(f"set threads = {int(os.environ['PEER_THREADS'])}")
        connection.execute(f"set memory_limit = '{int(os.environ['PEER_MEMORY_MB'])}MB'")
        for name in ORDER:
            text = (PROJECT / "models" / f"{name}.sql").read_text(encoding="utf-8")
            sql = render.from_string(text).render(ref=str, config=lambda **_: "", env_var=os.environ.__getitem__)
            connection.execute(f"create {'view' if name == 'events' else 'table'} {name} as {sql}")


def run_dbt(out: Path) -> bool:
    """Run the project from a copy, so that dbt's own files stay out of the repository."""
    from dbt.cli.main import dbtRunner

    folder = out / "project"
    shutil.copytree(PROJECT, folder)
    return dbtRunner().invoke(["run", "--project-dir", str(folder), "--profiles-dir", str(folder), "--quiet"]).success


def main() -> None:
    """Run what is asked for."""
    out = Path(os.environ["PEER_OUT"])
    if sys.argv[1] == "dbt":
        sys.exit(0 if run_dbt(out) else 1)
    run_script(out)


if __name__ == "__main__":
    main()
