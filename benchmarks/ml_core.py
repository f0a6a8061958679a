"""How good models are that learn from tables, and what training costs: `python -m benchmarks.ml_core [FOLDER]`.

With a folder that holds sales_data_sample.csv and cal_housing.data.gz, on those; else on made-up rows, whose figures
are no bars. CPU seconds are of this process, one thread.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pandas as pd

from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.table_training import LearningResult, train_table
from quality_assets.progress import no_progress
from quality_assets.simulate.tables import made_up_rows
from quality_assets.stores.table_files import read_table

_FILES = {"sales": "sales_data_sample.csv", "housing": "cal_housing.data.gz"}
_BARS = (
    ("sales", "all", "time", "r2", 0.965, 1.0),
    ("sales", "without PRICEEACH", "time", "r2", 0.94, 1.0),
    ("sales", "all", "time", "coverage", 0.75, 0.87),
    ("sales", "without PRICEEACH", "time", "coverage", 0.75, 0.87),
    ("housing", "all", "random", "r2", 0.83, 1.0),
    ("housing", "all", "spatial", "r2", 0.70, 1.0),
)
_MOST_CPU_S = 120.0


def _rows(name: str, folder: Path | None) -> pd.DataFrame:
    return made_up_rows(name) if folder is None else read_table(TABULAR[name].contract, folder / _FILES[name])


def _value(result: LearningResult, known: str, split: str, metric: str) -> float:
    frame = result.metrics
    own = frame[(frame["role"] == "champion") & (frame["known"] == known) & (frame["split"] == split)]
    return float(own.loc[own["metric"] == metric, "value"].iloc[0])


def main(folder: Path | None) -> None:
    """Train every use case, and print each bar beside what was reached."""
    results = {}
    started = time.process_time()
    for name, use_case in TABULAR.items():
        before = time.process_time()
        results[name] = train_table(use_case, _rows(name, folder), "baseline", no_progress)
        print(f"{name}: trained in {time.process_time() - before:.1f} s of CPU")
    spent = time.process_time() - started
    print(f"all: {spent:.1f} s of CPU, at most {_MOST_CPU_S:.0f} are wanted")
    for name, known, split, metric, low, high in _BARS:
        value = _value(results[name], known, split, metric)
        mark = "" if folder is None else " ok" if low <= value <= high else " MISSED"
        print(f"{name}, {known}, {split}: {metric} {value:.3f} (wanted: {low:g} to {high:g}){mark}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
