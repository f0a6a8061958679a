"""How well the checks of datasets part clean from dirty, on public tables with faults of 20 kinds planted.

    python -m benchmarks.datasets_public --tables ~/tables/csv --work ~/tables/judged [--half grading] [--shuffled]
        [--every 4 --place 0]

`benchmarks/public_tables.py` says where the tables come from. Half of them, by a hash of their names, are for
choosing settings, and half for grading only. Of each, six batches; faults are planted in 2 % of the rows of the
sixth, one kind at a time, and it is judged clean and dirty, with five past batches and without a past. `--work` keeps
what was judged, so that it goes on where it was stopped; an empty folder judges anew. Printed are, by kind of fault,
the share of pairs whose dirty one scores lower, the area under the curve of dirty against clean, the clean batches
that alert, and how often a share of 8 % scores better than 2 %, and one of 25 % better than 8 %.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.datasets import judged
from benchmarks.public_faults import FAULTS
from quality_assets.domain.quality.datasets import examine
from quality_assets.domain.quality.datasets.table_score import Verdict

_BATCHES = 6
_SHARES = (0.02, 0.08, 0.25)
_KEPT_FINDINGS = 12


def tables_of(folder: Path, half: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The files of a folder that are of a half, as texts."""
    for path in sorted(folder.glob("*.csv")):
        is_graded = int(hashlib.sha256(path.stem.encode()).hexdigest(), 16) % 2 == 1
        if is_graded == (half == "grading"):
            yield path.stem, pd.read_csv(path, dtype=str, keep_default_na=False).replace({"": None})


def measured(name: str, table: pd.DataFrame, is_shuffled: bool) -> list[dict[str, Any]]:
    """Each state of the sixth batch of a table, with and without a past: score, alerts and findings."""
    seed = zlib.crc32(name.encode())
    if is_shuffled:
        table = table.sample(frac=1, random_state=seed % 2**32)
    size = len(table) // _BATCHES
    parts = [table.iloc[i * size : (i + 1) * size].reset_index(drop=True) for i in range(_BATCHES)]
    past = examine.Past()
    for part in parts[:-1]:
        _, profile, block = judged(part, past)
        past = examine.Past([*past.profiles, profile], [*past.blocks, block])
    states: list[tuple[str, float, tuple[str, ...], int, pd.DataFrame]] = [("", 0.0, (), 0, parts[-1])]
    for kind, fault in FAULTS.items():
        for share in _SHARES:
            # The larger shares in the same column, by the same seed.
            planted = fault(parts[-1], share, np.random.default_rng(seed))
            if planted is not None and planted.count:
                states.append((kind, share, planted.columns, planted.count, planted.table))
    found = []
    for kind, share, columns, count, state in states:
        for before in (examine.Past(), past):
            verdict = judged(state, before)[0]
            said = _said(verdict)
            found.append({
                "table": name, "kind": kind, "share": share, "columns": columns, "count": count, "rows": len(state),
                "width": state.shape[1], "past": bool(before.profiles), **said,
            })  # fmt: skip
    return found


def _said(verdict: Verdict) -> dict[str, Any]:
    findings = [(f.rule_id, f.count, round(f.doubt, 4), f.is_alert) for f in verdict.findings[:_KEPT_FINDINGS]]
    return {"score": verdict.score, "alerts": len(verdict.alerts), "findings": findings}


def told(found: pd.DataFrame) -> Iterator[str]:
    """The figures, in lines."""
    found = found.assign(score=found.score.fillna(0.0))
    for past, rows in found.groupby("past"):
        clean = rows[rows.kind == ""].set_index("table")
        dirty = rows[rows.kind != ""]
        dirty = dirty.assign(was=dirty.table.map(clean.score))
        few = dirty[dirty.share == _SHARES[0]]
        name = "Five past batches" if past else "No past"
        yield f"{name}: {len(clean)} tables, {len(few)} pairs, {(clean.alerts > 0).mean():.1%} of clean batches alert"
        for kind, pairs in [*few.groupby("kind"), ("all", few)]:
            yield (
                f"  {kind:<11} n={len(pairs):4d} lower {(pairs.score < pairs.was).mean():.3f}"
                f" as high {(pairs.score == pairs.was).mean():.3f} area {_area(clean.score, pairs.score):.3f}"
                f" alert {(pairs.alerts > 0).mean():.3f}"
            )
        for fewer, more in pairwise(_SHARES):
            both = dirty[dirty.share == fewer].merge(
                dirty[dirty.share == more], on=["table", "kind"], suffixes=("", "_more")
            )
            both = both[both.count_more > both["count"]]
            worse = (both.score_more > both.score).mean()
            yield f"  {more:.0%} of the rows instead of {fewer:.0%}, a better score: {worse:.3f} of {len(both)}"


def _area(clean: pd.Series, dirty: pd.Series) -> float:
    above = clean.to_numpy()[:, None] - dirty.to_numpy()[None]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def main() -> None:
    """Judge what was not judged yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--half", choices=("tuning", "grading"), default="tuning")
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--most", type=int, help="so many tables, evenly over the half")
    parser.add_argument("--every", type=int, help="one table in so many, from --place on")
    parser.add_argument("--place", type=int, default=0)
    asked = parser.parse_args()
    order = "shuffled" if asked.shuffled else "in_order"
    kept = asked.work / f"{asked.half}_{order}"
    kept.mkdir(parents=True, exist_ok=True)
    every = list(tables_of(asked.tables, asked.half))
    step = asked.every or (max(1, len(every) // asked.most) if asked.most else 1)
    found: list[dict[str, Any]] = []
    for name, table in every[asked.place :: step]:
        path = kept / f"{name}.json"
        if not path.exists():
            path.with_suffix(".part").write_text(json.dumps(measured(name, table, asked.shuffled)))
            path.with_suffix(".part").rename(path)
        found += json.loads(path.read_text())
    print("\n".join(told(pd.DataFrame(found))))


if __name__ == "__main__":
    main()
