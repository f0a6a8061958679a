"""What judging one table costs beside a pandas script of the usual checks, and Pointblank where it is installed.

    python -m benchmarks.datasets_cost [--rows 1000000] [--texts] [--parquet] [--alone] [--pointblank PYTHON]

All read the same file, each in a process of its own; CPU is user + system. The script counts missing cells, copied
rows, numbers beyond 1.5 interquartile ranges, texts among numbers and how many values each column has. Pointblank is
given as the Python of an environment where `pointblank[pd]` is installed: it asks the same of each column.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

_SCRIPT = """
import sys
import pandas as pd
path = sys.argv[1]
t = pd.read_parquet(path) if path.endswith("parquet") else pd.read_csv(path)
missing, copies, distinct = t.isna().sum(), int(t.duplicated().sum()), t.nunique()
odd = {}
for name in t:
    if t[name].dtype.kind in "if":
        q1, q3 = t[name].quantile([0.25, 0.75])
        odd[name] = int(((t[name] < q1 - 1.5 * (q3 - q1)) | (t[name] > q3 + 1.5 * (q3 - q1))).sum())
    else:
        numbers = pd.to_numeric(t[name], errors="coerce").notna()
        odd[name] = int(min(numbers.sum(), (~numbers).sum()))
print(len(t), int(missing.sum()), copies, int(distinct.sum()), sum(odd.values()))
"""
_POINTBLANK = """
import sys
import pandas as pd
import pointblank as pb
path = sys.argv[1]
t = pd.read_parquet(path) if path.endswith("parquet") else pd.read_csv(path)
asked = pb.Validate(data=t).rows_distinct()
for name in t:
    asked = asked.col_vals_not_null(columns=name)
    if t[name].dtype.kind in "if":
        q1, q3 = t[name].quantile([0.25, 0.75])
        asked = asked.col_vals_between(columns=name, left=q1 - 1.5 * (q3 - q1), right=q3 + 1.5 * (q3 - q1))
asked.interrogate()
print(len(t), sum(step.n_failed for step in asked.validation_info))
"""
_PART_ROWS = 1_000_000
_WORDS = np.array(["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"])


def table(rows: int, texts: int, seed: int = 3) -> pd.DataFrame:
    """Twenty columns, of which so many are long texts; the rest are codes, times, measures and counts."""
    generator = np.random.default_rng(seed)
    found: dict[str, object] = {}
    for place in range(texts):
        numbers = pd.Series(generator.integers(0, 10**6, rows)).astype(str)
        words = pd.Series(_WORDS[generator.integers(0, 10, rows)] + " ")
        found[f"name{place}"] = words + pd.Series(_WORDS[generator.integers(0, 10, rows)]) + numbers
    for place in range(4):
        found[f"code{place}"] = _WORDS[generator.integers(0, 10, rows)]
    for place in range(3):
        seconds = pd.to_timedelta(generator.integers(0, 3 * 10**7, rows), "s")
        found[f"at{place}"] = (pd.Timestamp("2025-01-01") + seconds).strftime("%Y-%m-%d %H:%M:%S")
    left = 20 - len(found)
    for place in range(left):
        is_count = place % 3 == 2
        found[f"n{place}"] = (
            generator.integers(0, 10**7, rows) if is_count else np.round(generator.normal(100, 20, rows), 3)
        )
    return pd.DataFrame(found)


def write(path: str, rows: int, texts: int) -> None:
    """A table as a file of CSV or Parquet, as its name says."""
    if not path.endswith("parquet"):
        table(rows, texts).to_csv(path, index=False)
        return
    parts = (
        pa.Table.from_pandas(table(min(_PART_ROWS, rows - at), texts, at + 3)) for at in range(0, rows, _PART_ROWS)
    )
    first = next(parts)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as out:
        out.write_table(first)
        for part in parts:
            out.write_table(part)


def cost(command: list[str], folder: Path) -> tuple[float, float, str]:
    """CPU seconds and peak MB of a command, as it tells the latter, and the last line that it printed."""
    environment = os.environ | {"QUALITY_DATA_DIR": str(folder / "data")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        said = running.communicate()[0]
        if running.returncode not in (0, 1):
            raise SystemExit(f"{command[0]} ended with {running.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak_kb, _, told = said.strip().rpartition("\n")[2].partition("\t")
    return seconds, float(peak_kb) / 1024, told


_MEASURED = """
import contextlib, io, resource, runpy, sys
said = io.StringIO()
with contextlib.redirect_stdout(said):
    try:
        {act}
    except SystemExit:
        pass
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak, said.getvalue().strip().rpartition("\\n")[2][:100], sep="\\t")
"""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--texts", action="store_true", help="thirteen columns of text and times instead of seven")
    parser.add_argument("--parquet", action="store_true")
    parser.add_argument("--alone", action="store_true", help="this product alone")
    parser.add_argument("--pointblank", type=Path, help="the Python of an environment that has Pointblank")
    asked = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / ("t.parquet" if asked.parquet else "t.csv")
        # In a process of its own: a child is told the peak of the one that it was forked from.
        source = f"from benchmarks.datasets_cost import write; write({str(path)!r}, {asked.rows}, {6 * asked.texts})"
        subprocess.run([sys.executable, "-c", source], check=True)
        check = f"sys.argv = ['quality', 'check', {str(path)!r}]; from quality_assets.cli.main import app; app()"
        programs = {"this product": [sys.executable, "-c", _MEASURED.format(act=check)]}
        others = {} if asked.alone else {"pandas script": (sys.executable, _SCRIPT)}
        if asked.pointblank:
            others["Pointblank"] = (str(asked.pointblank), _POINTBLANK)
        for program, (python, source) in others.items():
            script = folder / f"{program.partition(' ')[0]}.py"
            script.write_text(source)
            act = f"sys.argv = ['x', {str(path)!r}]; runpy.run_path({str(script)!r}, run_name='__main__')"
            programs[program] = [python, "-c", _MEASURED.format(act=act)]
        print(f"{asked.rows:,} rows, {path.stat().st_size / 1e6:.0f} MB, load {os.getloadavg()[0]:.0f}")
        for program, command in programs.items():
            seconds, peak, told = cost(command, folder)
            print(f"{program}: {seconds:.1f} CPU s, {peak:.0f} MB ({told})", flush=True)


if __name__ == "__main__":
    main()
