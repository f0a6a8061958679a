"""What the checks of datasets catch: faults of known truth in clean tables, with five past batches and without a past.

    python -m benchmarks.datasets [--rows 1000000]

Prints, by kind of fault, how often the score of the dirty table is lower than that of the clean one, the area under the
curve of dirty against clean, and how often clean batches alert: of shuffled tables, and of tables cut as they stand.
With --rows, CPU seconds and peak memory of one CSV. Public tables: `benchmarks/datasets_public.py`.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa

from quality_assets.domain.quality.datasets import examine
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.table_score import Verdict
from quality_assets.domain.quality.datasets.values import Block, block_of
from quality_assets.settings import Settings
from quality_assets.simulate.table_faults import CELL_FAULTS
from quality_assets.tables.datasets.checking import check_file

SHARES = (0.01, 0.05)
_BATCHES = 6


def shop(rows: int, seed: int) -> pd.DataFrame:
    """Orders of a shop: keys, times, a place that decides its state, prices and what follows from them."""
    generator = np.random.default_rng(seed)
    states = {"Berlin": "BE", "Hamburg": "HH", "Munich": "BY", "Cologne": "NW", "Frankfurt": "HE", "Stuttgart": "BW"}
    city = generator.choice(list(states), rows, p=(0.4, 0.2, 0.15, 0.1, 0.1, 0.05))
    quantity, price = generator.integers(1, 9, rows), np.round(generator.lognormal(3, 0.6, rows), 2)
    table = pd.DataFrame(
        {
            "order_id": np.arange(rows),
            "ordered_at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows) * 97, "s"),
            "city": city,
            "state": [states[name] for name in city],
            "status": generator.choice(("shipped", "delivered", "returned"), rows),
            "quantity": quantity,
            "price": price,
            "total": np.round(quantity * price, 2),
            "email": [f"user{number}@example.com" for number in generator.integers(0, 10**6, rows)],
        }
    )
    return table.astype(str)


def tables() -> dict[str, pd.DataFrame]:
    """Generated tables, and public ones that installed libraries bring."""
    from sklearn import datasets

    found = {f"shop {seed}": shop(1800, seed) for seed in range(4)}
    for name in ("load_wine", "load_breast_cancer", "load_diabetes"):
        frame = getattr(datasets, name)(as_frame=True).frame
        found[name.removeprefix("load_")] = frame.astype(str)
    return found


def judged(table: pd.DataFrame, past: examine.Past | None = None) -> tuple[Verdict, Profile, Block]:
    """A verdict on a table of texts."""
    past, asked = past or examine.Past(), examine.Asked()
    texts = {name: pa.array([v if isinstance(v, str) else None for v in table[name]], pa.string()) for name in table}
    block = block_of(pa.table(texts), past.forms)
    made = examine.plan(block, past, asked)
    tally = examine.count([block], made)
    keys = examine.keys_to_count(block, past, asked)
    repeats = {key: int(table.duplicated(list(key)).sum()) for key in keys}
    rows = examine.Rows(len(table), tuple(table), int(table.duplicated().sum()), repeats)
    verdict = examine.verdict(rows, block, tally, made, past, asked)
    return verdict, examine.profile("batch", rows, block, tally, made, verdict, asked), block


def measure(asked: dict[str, pd.DataFrame], with_past: bool, is_shuffled: bool) -> None:
    """Print the quality on some tables."""
    clean, alerts = [], []
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number, (_, table) in enumerate(asked.items()):
        generator = np.random.default_rng(number)
        ordered = generator.permutation(len(table)) if is_shuffled else np.arange(len(table))
        table = table.iloc[ordered]
        size = len(table) // _BATCHES
        parts = [table.iloc[i * size : (i + 1) * size].reset_index(drop=True) for i in range(_BATCHES)]
        past = examine.Past()
        if with_past:
            for part in parts[:-1]:
                _, profile, block = judged(part, past)
                past = examine.Past([*past.profiles, profile], [*past.blocks, block])
        base = judged(parts[-1], past)[0]
        clean.append(base.score or 0.0)
        alerts.append(bool(base.alerts))
        for kind, fault in CELL_FAULTS.items():
            for share in SHARES:
                planted = fault(parts[-1], share, generator)
                if planted is not None and planted.count:
                    pairs[kind].append((base.score or 0.0, judged(planted.table, past)[0].score or 0.0))
    past_told, order = "five past batches" if with_past else "no past", "shuffled" if is_shuffled else "in file order"
    print(f"{past_told}, {order}: {np.mean(alerts):.1%} of clean batches alert")
    for kind, found in {**pairs, "all": [pair for each in pairs.values() for pair in each]}.items():
        before, after = np.array(found).T
        area = (np.array(clean)[:, None] > after[None]).mean() + 0.5 * (np.array(clean)[:, None] == after[None]).mean()
        print(f"  {kind:<12} n={len(found):3d} lower {(after < before).mean():.3f}  area under the curve {area:.3f}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int)
    rows = parser.parse_args().rows
    if rows:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "shop.csv"
            shop(rows, 1).to_csv(path, index=False)
            before = time.process_time()
            result = check_file(Settings(data_dir=Path(folder) / "data"), path)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{result.rows:,} rows: {time.process_time() - before:.1f} CPU s, at most {peak:.0f} MB, {result.score}"
            )
        return
    for with_past, is_shuffled in ((True, True), (True, False), (False, True)):
        measure(tables(), with_past, is_shuffled)


if __name__ == "__main__":
    main()
