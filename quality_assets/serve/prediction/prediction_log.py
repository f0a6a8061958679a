"""What was predicted, of what and by which release: kept in memory for seconds, written as Parquet by a thread.

A kill loses at most the last seconds of the log, and never an answer. Where the disk does not keep up the oldest rows
are dropped, and counted.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from quality_assets.stores.landing import PREDICTIONS_FOLDER, PREDICTIONS_KEPT_DAYS

log = logging.getLogger("quality.prediction")

EVERY_S = 5.0
EVERY_ROWS = 5_000
MOST_ROWS = 200_000
COLUMNS = (
    "request_id", "at", "model", "model_version", "release_seq", "prediction", "p10", "p90", "interval_method",
    "interval_status", "known", "outside_training", "inputs", "latency_us", "role",
)  # fmt: skip


class PredictionLog:
    """The log of one server. `append` is called by its event loop; files are written by a thread of its own."""

    def __init__(self, landing_dir: Path, *, most_rows: int = MOST_ROWS) -> None:
        self._folder = landing_dir / PREDICTIONS_FOLDER
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._most_rows = most_rows
        self._wake, self._is_over = threading.Event(), False
        self._files, self.dropped, self.written = 0, 0, 0
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def append(self, row: tuple[Any, ...]) -> None:
        """Keep a row, in the order of COLUMNS; `at` is in microseconds of UTC, `inputs` a dict."""
        self._waiting.append(row)
        waiting = len(self._waiting)
        if waiting > self._most_rows:
            self._waiting.popleft()
            self.dropped += 1
        elif waiting >= EVERY_ROWS and not self._wake.is_set():
            self._wake.set()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._is_over = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=20)

    def _run(self) -> None:
        while not self._is_over:
            self._wake.wait(EVERY_S)
            self._wake.clear()
            try:
                self.flush()
                forget_old(self._folder, datetime.now(UTC))
            except Exception:
                log.exception("predictions could not be written, and are tried again")
        try:
            self.flush()
        except Exception:
            log.exception("predictions could not be written")

    def flush(self) -> int:
        """Write what waits as one file a day; rows written."""
        rows = [self._waiting.popleft() for _ in range(len(self._waiting))]
        days: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows:
            days.setdefault(datetime.fromtimestamp(row[1] / 1e6, UTC).date().isoformat(), []).append(row)
        for day, some in days.items():
            try:
                self._write(day, some)
            except OSError:
                self._waiting.extendleft(reversed(some))
                raise
            self.written += len(some)
        return len(rows)

    def _write(self, day: str, rows: list[tuple[Any, ...]]) -> None:
        import pyarrow.parquet as pq

        folder = self._folder / day
        folder.mkdir(parents=True, exist_ok=True)
        self._files += 1
        target = folder / f"{rows[0][1]}-{os.getpid()}-{self._files}.parquet"
        partial = target.with_name(f".{target.name}.part")
        pq.write_table(arrow_rows(rows), partial, compression="zstd")
        partial.replace(target)


def arrow_rows(rows: list[tuple[Any, ...]]) -> Any:
    """Rows of the log as a table of Arrow, in the types of ml.predictions."""
    import orjson
    import pyarrow as pa

    types = dict.fromkeys(COLUMNS, pa.string()) | {
        "at": pa.timestamp("us"),
        "release_seq": pa.int64(),
        "prediction": pa.float64(),
        "p10": pa.float64(),
        "p90": pa.float64(),
        "latency_us": pa.float64(),
        "outside_training": pa.list_(pa.string()),
    }
    columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    columns["inputs"] = [orjson.dumps(given).decode() for given in columns["inputs"]]
    return pa.table({name: pa.array(columns[name], types[name]) for name in COLUMNS})


def forget_old(folder: Path, now: datetime) -> None:
    """Remove the days whose predictions are older than is kept."""
    first = (now - timedelta(days=PREDICTIONS_KEPT_DAYS)).date().isoformat()
    if not folder.is_dir():
        return
    for day in folder.iterdir():
        if day.is_dir() and len(day.name) == len(first) and day.name < first:
            shutil.rmtree(day, ignore_errors=True)
