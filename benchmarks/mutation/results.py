"""What became of each mutant: lines of JSON that a later call goes on from, the kill rate, and its table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from math import sqrt
from pathlib import Path

from benchmarks.mutation.source import Mutant

Z_95 = 1.959964
# Killed by a test, by a timeout, by nothing, or not even reached by a test.
KILLED, TIMEOUT, SURVIVED, UNREACHED = "killed", "timeout", "survived", "unreached"


@dataclass(frozen=True)
class Result:
    """One mutant's end. `tests` were asked, `left_out` would have taken too long; `killed_by` is what noticed.

    `seconds` and `cpu_s` count all runs of its tests.
    """

    key: str
    status: str
    seconds: float
    tests: int = 0
    left_out: int = 0
    killed_by: str = ""
    cpu_s: float = 0.0


class Results:
    """The results file. The last line of a key counts; a line that a kill cut short is no result.

    The first line of a key is kept too: it says what was noticed before anybody looked at what was not. `of_parts` are
    results of some of the tests: what these noticed all notice.
    """

    def __init__(self, path: Path, of_parts: Iterable[Path] = ()) -> None:
        self._path = path
        self._known: dict[str, Result] = {}
        self._first: dict[str, Result] = {}
        for part in of_parts:
            for result in _read(part):
                if result.status in (KILLED, TIMEOUT):
                    self._note(result)
        if not path.exists():
            return
        if not path.read_bytes().endswith(b"\n"):
            with path.open("a", encoding="utf-8") as stream:
                stream.write("\n")
        for result in _read(path):
            self._note(result)

    def get(self, mutant: Mutant) -> Result | None:
        """What is known of a mutant."""
        return self._known.get(mutant.key)

    def first(self, mutant: Mutant) -> Result | None:
        """What became of a mutant when it was first tried."""
        return self._first.get(mutant.key)

    def beginning(self, sample: Sequence[Mutant]) -> list[Mutant]:
        """A sample up to the first mutant without a result. As its order is random, this is a sample too."""
        return list(takewhile(lambda mutant: self.get(mutant) is not None, sample))

    def add(self, result: Result) -> None:
        """Keep a result, at once."""
        self._note(result)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")

    def _note(self, result: Result) -> None:
        self._known[result.key] = result
        self._first.setdefault(result.key, result)

    def missing(self, mutants: Iterable[Mutant]) -> list[Mutant]:
        """The mutants without a result."""
        return [mutant for mutant in mutants if self.get(mutant) is None]

    def unnoticed(self, mutants: Iterable[Mutant]) -> list[Mutant]:
        """The mutants that were tried and that nothing noticed."""
        return [mutant for mutant in mutants if (known := self.get(mutant)) and known.status in (SURVIVED, UNREACHED)]


def _read(path: Path) -> Iterator[Result]:
    """The whole lines of a results file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield Result(**json.loads(line))
        except (ValueError, TypeError):
            continue


def wilson(hits: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """The interval of a proportion (Wilson 1927), 95 % unless told; the whole range where n is 0."""
    if n == 0:
        return 0.0, 1.0
    p, spread = hits / n, z * z / n
    middle = (p + spread / 2) / (1 + spread)
    half = z * sqrt(p * (1 - p) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def report(
    sample: Sequence[Mutant], results: Results, sizes: dict[str, int], seed: int, without: Sequence[str] = ()
) -> str:
    """The run as Markdown: the rate and its interval, a row per folder, and what survived.

    `without` are the tests that were not asked.
    """
    tried = results.beginning(sample)
    done = [(mutant, found) for mutant in tried if (found := results.get(mutant)) is not None]
    first = [found for mutant in tried if (found := results.first(mutant)) is not None]
    lines = [
        f"{len(done)} mutants of {sum(sizes.values()):,} in {len(sizes)} files (seed {seed}, stratified by file), each"
        f" against the tests that reach it: **{_rate([found for _, found in done])}**.",
        "",
        "| folder | files | mutants in it | tried | killed | timeout | survived | unreached |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    if without:
        lines.insert(1, f"\nNot asked, for what they cost: {', '.join(map(_code, without))}. So this is a lower bound.")
    if len(done) < len(sample):
        lines.insert(
            1,
            f"\nNot finished: {len(sample) - len(done)} of the sample of {len(sample)} are still to be tried. They are"
            " tried in random order, so that those tried are a sample too.",
        )
    if [found.status for found in first] != [found.status for _, found in done]:
        lines.insert(
            1,
            f"\nBy the tests as they were before what survived was looked at: {_rate(first)}. That is the unbiased"
            " rate; the tests written since are for changes of this sample among others.",
        )
    folders = {file: file.rpartition("/")[0] or "." for file in sizes}
    for folder in dict.fromkeys(folders.values()):
        within = [size for file, size in sizes.items() if folders[file] == folder]
        tried_there = [found.status for mutant, found in done if folders[mutant.file] == folder]
        counts = " | ".join(str(tried_there.count(status)) for status in (KILLED, TIMEOUT, SURVIVED, UNREACHED))
        lines.append(f"| `{folder}` | {len(within)} | {sum(within):,} | {len(tried_there)} | {counts} |")
    lines += ["", *_listed("Survived", done, (SURVIVED, UNREACHED)), *_listed("Timeouts", done, (TIMEOUT,))]
    return "\n".join(lines).rstrip()


def _rate(results: Sequence[Result]) -> str:
    """How many were noticed, which share that is, and its interval."""
    killed = sum(result.status in (KILLED, TIMEOUT) for result in results)
    low, high = wilson(killed, len(results))
    share = killed / len(results) if results else 0.0
    return f"{killed} noticed, {share:.1%} (95 % interval after Wilson {low:.1%} to {high:.1%})"


def _listed(title: str, done: Sequence[tuple[Mutant, Result]], statuses: Sequence[str]) -> list[str]:
    """Mutants of some status, by place."""
    chosen = sorted(
        ((mutant, found) for mutant, found in done if found.status in statuses),
        key=lambda pair: (pair[0].file, pair[0].line, pair[0].key),
    )
    if not chosen:
        return []
    lines = [f"{title}:", ""]
    for mutant, found in chosen:
        note = " (no test reaches it)" if found.status == UNREACHED else ""
        note = f" ({found.left_out} slow tests not asked)" if found.left_out and found.status == SURVIVED else note
        change = f"{_code(mutant.before)} → {_code(mutant.after)}"
        lines.append(f"- `{mutant.file}:{mutant.line}` {mutant.edit.operator}: {change}{note}")
    return [*lines, ""]


def _code(text: str) -> str:
    """A text as Markdown code, whatever signs are in it."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"
