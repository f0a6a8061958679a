"""The same work as a dbt-duckdb project (`dbt_project/`), written as dbt is written: staged once, then model on model.

Its anonymous usage statistics are off. The CPU seconds of the models are not told apart.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from common import Job, job_from_arguments


def settings(job: Job) -> dict[str, str]:
    """What the project reads from its environment."""
    return {
        "PEER_OUT": str(job.out),
        "PEER_LOGS": str(job.logs),
        "PEER_METADATA": str(job.metadata),
        "PEER_LATEST": job.latest,
        "PEER_THREADS": str(job.threads),
        "PEER_MEMORY_MB": str(job.memory_mb),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def main() -> None:
    """Run the project in this process, from a copy, so that dbt's own files stay out of the repository."""
    job = job_from_arguments()
    os.environ.update(settings(job))
    from dbt.cli.main import dbtRunner

    folder = job.out / "project"
    shutil.copytree(Path(__file__).parent / "dbt_project", folder)
    result = dbtRunner().invoke(["run", "--project-dir", str(folder), "--profiles-dir", str(folder), "--quiet"])
    job.done("all models")
    print(json.dumps(job.phases))
    sys.exit(0 if result.success else 1)


if __name__ == "__main__":
    main()
