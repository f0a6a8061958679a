"""What runs did, step by step, as JSON lines: `logs/runs.jsonl` of the data root, for grep and for collectors of logs.

It is told by whoever runs a step: the command line, the daemon's workers and the Dagster UI all append to the one file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from filelock import FileLock

from quality_assets.domain.escaping import json_text
from quality_assets.stores.failures import MAX_CAUSE_LENGTH

RUN_LOG = "runs.jsonl"
MAX_BYTES = 5_000_000
KEPT_FILES = 4


@dataclass(frozen=True)
class RunStep:
    """One step of a run: what it made or checked, for which dates (None: it has none), and how that went.

    `kind` is asset or checks; `outcome` succeeded, failed, or for checks what the worst of them said. Times are UTC
    without zone.
    """

    run_id: str
    job: str
    kind: str
    what: str
    dates: tuple[date, date] | None
    rows: int | None
    started_at: datetime
    finished_at: datetime
    outcome: str
    cause: str = ""

    def line(self) -> str:
        """The step as one JSON object, without the end of the line."""
        start, end = self.dates or (None, None)
        entry = {
            "time": self.finished_at.isoformat(timespec="milliseconds") + "Z",
            "run_id": self.run_id,
            "job": self.job,
            "kind": self.kind,
            "what": self.what,
            "start": start and start.isoformat(),
            "end": end and end.isoformat(),
            "rows": self.rows,
            "seconds": round((self.finished_at - self.started_at).total_seconds(), 3),
            "outcome": self.outcome,
            "cause": self.cause[:MAX_CAUSE_LENGTH],
        }
        return json_text(json.dumps(entry, ensure_ascii=False))


def append_step(folder: Path, step: RunStep) -> None:
    """Append a step to the log in `folder`, which is made; once the file is full it is put aside, the oldest goes.

    A log that cannot be written (a full disk) is no reason for a run to fail: the step is then not logged.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Two lanes of runs write here at once, and one of them may be putting the file aside.
        with FileLock(folder / f".{RUN_LOG}.lock"):
            path = folder / RUN_LOG
            if path.exists() and path.stat().st_size >= MAX_BYTES:
                _put_aside(path)
            with path.open("a", encoding="utf-8") as file:
                file.write(step.line() + "\n")
    except OSError:
        return


def _put_aside(path: Path) -> None:
    for number in range(KEPT_FILES - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            os.replace(older, path.with_name(f"{path.name}.{number + 1}"))
    os.replace(path, path.with_name(f"{path.name}.1"))
