"""What every hand-written peer shares: its arguments, the columns, the reasons, and the CPU seconds of its phases.

A peer reads `--logs DIR/*.csv` and `--metadata FILE`, and leaves in `--out DIR` the tables valid_events,
quarantined_events, fact_feature_metrics and user_feature_days: in `result.duckdb`, or as Parquet in
`<table>/**/*.parquet`; and `phases.json`, the CPU seconds of its phases.
"""

from __future__ import annotations

import argparse
import json
import resource
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS = (
    "event_id",
    "event_time",
    "user_id",
    "session_id",
    "feature",
    "event_name",
    "latency_ms",
    "status",
    "feedback_score",
    "device_type",
    "platform",
    "app_version",
    "country",
    "properties",
)
TEXT_COLUMNS = tuple(c for c in COLUMNS if c not in ("event_time", "latency_ms", "feedback_score"))
STATUSES = ("ok", "error", "crash")
EARLIEST = "2000-01-01"
APDEX_THRESHOLD_MS = 500.0
BLANKS = " \t\r\n\v\f\u00a0\u3000\ufeff"
LOOSE_JSON = r"(?i)nan|inf|,\s*[}\]]"
JSON_STRING = r'"(\\.|[^"\\])*"'
ISO_TIME = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)? ?([Zz]|[+-](0\d|1[0-8])(:?[0-5]\d)?)"


@dataclass
class Job:
    """The arguments of a peer."""

    logs: Path
    metadata: Path
    out: Path
    latest: str
    threads: int
    memory_mb: int
    store: str = "native"
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def pattern(self) -> str:
        """The logs, as a glob."""
        return f"{self.logs}/*.csv"

    def done(self, phase: str) -> None:
        """Book the CPU seconds since the last call on `phase`."""
        used = cpu_seconds()
        self.phases[phase] = round(used - sum(self.phases.values()), 3)
        (self.out / "phases.json").write_text(json.dumps(self.phases))


def cpu_seconds() -> float:
    """User and system seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def job_from_arguments() -> Job:
    """Parse the command line of a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--metadata", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--latest", required=True, help="Later event times are in the future: YYYY-MM-DD HH:MM:SS, UTC")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=2000)
    parser.add_argument("--store", choices=("native", "parquet"), default="native")
    job = Job(**vars(parser.parse_args()))
    job.done("start")
    return job
