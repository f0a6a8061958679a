"""Which files are mutated, and which of their mutants are tried.

Paths are named here and nowhere else. A pattern that matches nothing is no error: these are the folders of the layout
with rooms and of the flat one before it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.mutation.operators_python import python_edits
from benchmarks.mutation.operators_sql import sql_edits
from benchmarks.mutation.source import Mutant, Source

TARGETS = (
    "quality_assets/domain/*.py",  # `*` matches folders too
    "quality_assets/read/*.py",
    "quality_assets/tables/checks/*.py",
    # The flat layout.
    "dash_app/queries/*.py",
    "dash_app/health.py",
    "quality_assets/warehouse/checking.py",
    "quality_assets/warehouse/known_checks.py",
    "quality_assets/warehouse/ml_checking.py",
    "quality_assets/warehouse/publication_checking.py",
    "quality_assets/warehouse/expectation*.py",
)


def target_files(files: Sequence[str], targets: Sequence[str] = TARGETS) -> list[str]:
    """The files of a tree that are mutated."""
    return [name for name in files if any(fnmatch(name, pattern) for pattern in targets)]


def mutants_of(file: str, text: str) -> list[Mutant]:
    """Every mutant of a file, in order of place."""
    source = Source(text)
    return source.mutants(file, [*python_edits(source), *sql_edits(source)])


def all_mutants(root: Path, files: Sequence[str]) -> dict[str, list[Mutant]]:
    """The mutants of every file that has any."""
    found = {file: mutants_of(file, (root / file).read_text(encoding="utf-8")) for file in files}
    return {file: mutants for file, mutants in found.items() if mutants}


def strata(sizes: Mapping[str, int], sample: int) -> dict[str, int]:
    """How many of each file: in proportion to its mutants, at least one, never more than there are.

    The largest remainders get what rounding leaves over. With fewer to take than files, each file still gives one.
    """
    total = sum(sizes.values())
    if sample >= total:
        return dict(sizes)
    exact = {file: sample * size / total for file, size in sizes.items()}
    taken = {file: max(1, int(share)) for file, share in exact.items()}
    for file in sorted(exact, key=lambda file: (int(exact[file]) - exact[file], file)):
        if sum(taken.values()) >= sample:
            break
        if exact[file] >= 1 and taken[file] < sizes[file]:
            taken[file] += 1
    return taken


def sample_of(
    mutants: Mapping[str, Sequence[Mutant]], texts: Mapping[str, str], sample: int, seed: int
) -> list[Mutant]:
    """A seeded sample, in an order in which every beginning of it is mixed too.

    A larger sample of the same seed contains the smaller one but for the files that rounding favours. Edits that do not
    parse, or change nothing, are passed over.
    """
    chosen: list[Mutant] = []
    for file, wanted in strata({file: len(found) for file, found in mutants.items()}, sample).items():
        source = Source(texts[file])
        shuffled = sorted(mutants[file], key=lambda mutant: mutant.key)
        random.Random(f"{seed} {file}").shuffle(shuffled)
        valid = (mutant for mutant in shuffled if source.is_valid(mutant.edit))
        chosen += [mutant for _, mutant in zip(range(wanted), valid, strict=False)]
    random.Random(seed).shuffle(chosen)
    return chosen
