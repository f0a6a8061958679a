"""Command line of the mutation run: see the package."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.mutation.processes import MutationError, locked, tree_files
from benchmarks.mutation.reach import PRODUCT, Finder, test_files
from benchmarks.mutation.results import SURVIVED, UNREACHED, Result, Results, report
from benchmarks.mutation.run import Pool, Trial, noticed_before, read_reach, try_mutants
from benchmarks.mutation.source import Mutant
from benchmarks.mutation.targets import all_mutants, sample_of, target_files
from benchmarks.pipeline import ROOT, say, write_section

HEADING = """## What the tests notice

Small wrong changes of the code and of the SQL in it, `python -m benchmarks.mutation`; browser tests are not asked. A
change that no test can notice, as it makes no difference, counts as survived like the others."""


@dataclass(frozen=True)
class Plan:
    """What a run tries, as the command line says it."""

    sample: int
    seed: int
    jobs: int
    only: Sequence[str]
    tests: Sequence[str]
    without: Sequence[str]
    again: bool
    limit_s: float

    @property
    def is_whole(self) -> bool:
        """Whether no file and no test is left out."""
        return not self.only and not self.tests

    def asked_of(self, files: Sequence[str]) -> list[str]:
        """The test files that are asked."""
        found = [name for name in test_files(files) if not name.startswith(tuple(self.without))]
        return [name for name in found if not self.tests or name.startswith(tuple(self.tests))]

    @property
    def results_name(self) -> str:
        """What few tests did not notice says nothing of all: such results lie in a file of their own.

        But what they notice of that which all tests let pass before is noticed.
        """
        if self.again:
            return "results.jsonl"
        name = "-".join(["results", *(part.strip("/").replace("/", "_") for part in self.tests)])
        # A file's name has room for so much.
        return (name if len(name) < 200 else f"results-{sha256(name.encode()).hexdigest()[:16]}") + ".jsonl"


def main(
    work: Annotated[
        Path | None,
        typer.Option(help="Keeps what tests reach and all results for the next time; default: a temporary folder."),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="How many mutants; every file gives at least one.")] = 600,
    seed: Annotated[int, typer.Option(help="Decides which.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Mutants at a time, each in a copy of the tree.")] = 2,
    only: Annotated[list[str] | None, typer.Option(help="Only files whose path contains this; repeatable.")] = None,
    tests: Annotated[
        list[str] | None,
        typer.Option(
            help="Ask only tests under this path; results lie apart, and a later run takes from them what was noticed."
            " Repeatable."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Do not ask tests under this path, as they cost too much; the report says so. Repeatable."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Only those that nothing noticed, once more; with --tests, what these notice now."
        ),
    ] = False,
    limit_s: Annotated[
        float, typer.Option(min=1, help="Tests of a mutant that would take longer than this together are left out.")
    ] = 60.0,
    list_only: Annotated[bool, typer.Option("--list", help="Print the sample and try nothing.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Put the table into docs/benchmarks.md.")] = False,
) -> None:
    """Try a sample of mutants. Ctrl-C ends it; the next call with the same --work goes on."""
    plan = Plan(sample, seed, jobs, only or (), tests or (), without or (), again, limit_s)
    folder = (work or Path(tempfile.mkdtemp(prefix="mutation-"))).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        files = tree_files(ROOT)
        found = all_mutants(ROOT, targets(files, plan))
        chosen = sample_of(found, texts_of(found), sample, seed)
        if list_only:
            for mutant in chosen:
                typer.echo(f"{mutant.file}:{mutant.line} {mutant.edit.operator}: {mutant.before} → {mutant.after}")
            return
        path = folder / plan.results_name
        results = Results(path, () if plan.tests and not plan.again else sorted(folder.glob("results-*.jsonl")))
        say(f"{sum(map(len, found.values())):,} mutants in {len(found)} files, {len(chosen)} of them chosen")
        run(folder, plan, files, chosen, results)
    except MutationError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        if work is None:
            shutil.rmtree(folder, ignore_errors=True)
    text = report(chosen, results, {file: len(of_file) for file, of_file in found.items()}, seed, plan.without)
    typer.echo(text)
    say(f"done after {time.monotonic() - started:.0f} s")
    if write:
        if not plan.is_whole:
            typer.echo("error: not written: the sample leaves out files or tests", err=True)
            raise typer.Exit(1)
        write_section("mutation", f"{HEADING}\n\n{text}")


def targets(files: Sequence[str], plan: Plan) -> list[str]:
    """The files to mutate. Raises MutationError where there is none."""
    chosen = [name for name in target_files(files) if not plan.only or any(part in name for part in plan.only)]
    if not chosen:
        raise MutationError("no file to mutate: see TARGETS in benchmarks/mutation/targets.py, and --only")
    return chosen


def texts_of(files: Iterable[str]) -> dict[str, str]:
    """The texts of files of the tree."""
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in files}


def run(work: Path, plan: Plan, files: Sequence[str], chosen: Sequence[Mutant], results: Results) -> None:
    """Try the mutants that have no result yet."""
    missing = results.unnoticed(chosen) if plan.again else results.missing(chosen)
    if not missing:
        return
    product = texts_of(name for name in files if name.startswith(PRODUCT) and name.endswith(".py"))
    tests = texts_of(name for name in files if name.startswith("tests/") and name.endswith(".py"))
    try:
        with locked(work), Pool(ROOT, files, plan.asked_of(files), work, plan.jobs) as pool:
            reach = read_reach(pool, work, say)
            trial = Trial(
                reach, Finder(reach, product | tests), product, plan.limit_s, say, noticed_before(chosen, results)
            )
            say(f"{len(missing)} mutants to try")
            try_mutants(pool, missing, trial, results, say, keeps=keeps(plan))
    except KeyboardInterrupt:
        say("interrupted; the next call with the same --work goes on from here")


def keeps(plan: Plan) -> Callable[[Result], bool]:
    """Which results are kept: all, but not that some tests asked again have not noticed either."""
    return lambda result: not (plan.again and plan.tests and result.status in (SURVIVED, UNREACHED))


if __name__ == "__main__":
    typer.run(main)
