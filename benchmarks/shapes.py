"""Whether data of every shape is published: roots of few and many features, days and events, with what logs may lack.

`python -m benchmarks.shapes --work ~/shapes --roots 50` simulates each root, has `quality run` build it, and says which
were not published, and why. What is done stays in `results.jsonl` there, so that the next call goes on. Not part of
the test suite.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Set
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from quality_assets.settings import REPOSITORY_ROOT
from quality_assets.simulate import SimulationPlan, simulate
from quality_assets.stores.snapshots import current_snapshot, last_attempt

FEATURES = (1, 2, 5, 12, 24, 60, 150)
DAYS = (1, 2, 8, 30, 60, 100, 150)
EVENTS_PER_DAY = (60, 400, 2_000, 4_000, 10_000)
DIRT = (0.0, 0.015, 0.1, 0.5)
MAX_EVENTS = 1_000_000


@dataclass(frozen=True)
class Shape:
    """One root. `lacks` names columns that its logs do not have; `silent_days` how long before its end features go.

    `silent` is how many features send nothing in the last `silent_days` days; `skipped_days` days have no file at all.
    """

    number: int
    features: int
    days: int
    events_per_day: int
    dirt: float
    lacks: tuple[str, ...] = ()
    silent: int = 0
    silent_days: int = 0
    skipped_days: int = 0


# Each at an edge of its own; the others are drawn.
EDGES = (
    Shape(0, 60, 150, 4_000, 0.015),
    Shape(1, 1, 1, 60, 0.0),
    Shape(2, 1, 100, 400, 0.015),
    Shape(3, 24, 1, 4_000, 0.015),
    Shape(4, 24, 60, 2_000, 0.0, lacks=("latency_ms", "feedback_score")),
    Shape(5, 24, 60, 2_000, 0.015, silent=24, silent_days=3),
    Shape(6, 12, 60, 2_000, 0.5),
    Shape(7, 12, 60, 2_000, 0.015, lacks=("user_id", "session_id", "platform", "app_version", "country")),
    Shape(8, 12, 60, 2_000, 0.015, skipped_days=20),
)


def shapes(count: int) -> Iterator[Shape]:
    """The edges, then shapes drawn by number: the same number is the same shape."""
    yield from EDGES[:count]
    for number in range(len(EDGES), count):
        random = Random(number)
        features, days = random.choice(FEATURES), random.choice(DAYS)
        yield Shape(
            number,
            features,
            days,
            min(random.choice(EVENTS_PER_DAY), MAX_EVENTS // days),
            random.choice(DIRT),
            lacks=random.choice(((), (), ("latency_ms",), ("feedback_score",), ("latency_ms", "feedback_score"))),
            silent=random.choice((0, 0, 1, features // 2)),
            silent_days=random.randint(1, max(days // 4, 1)),
            skipped_days=random.choice((0, 0, 1, days // 10)),
        )


def written(shape: Shape, folder: Path) -> None:
    """Simulate the logs of a shape into the landing zone of the root at `folder`; the last day is yesterday."""
    first = datetime.now(UTC).date() - timedelta(days=shape.days)
    plan = SimulationPlan(
        days=shape.days,
        features=shape.features,
        events_per_day=shape.events_per_day,
        seed=shape.number + 12,
        start_date=first,
        dirt_share=shape.dirt,
    )
    simulate(plan, folder / "simulated")
    landing = folder / "landing"
    landing.mkdir()
    random = Random(shape.number)
    files = sorted((folder / "simulated" / "logs").iterdir())
    with (folder / "simulated" / "feature_metadata.csv").open(encoding="utf-8") as stream:
        gone = frozenset(sorted(row["feature"] for row in csv.DictReader(stream))[: shape.silent])
    skipped = set(random.sample(files[:-1], min(shape.skipped_days, len(files) - 1)))
    for at, file in enumerate(files):
        if file in skipped:
            continue
        is_silent = at >= len(files) - shape.silent_days
        _copy(file, landing / file.name, shape.lacks, gone if is_silent else frozenset())
    shutil.copyfile(folder / "simulated" / "feature_metadata.csv", folder / "feature_metadata.csv")
    shutil.rmtree(folder / "simulated")


def _copy(source: Path, target: Path, lacks: tuple[str, ...], silent: Set[str]) -> None:
    if not lacks and not silent:
        shutil.copyfile(source, target)
        return
    # Dirty lines are no CSV to be trusted: line by line, and what has too few fields stays as it is.
    with source.open(newline="", encoding="utf-8") as lines, target.open("w", newline="", encoding="utf-8") as out:
        reader, writer = csv.reader(lines), csv.writer(out, lineterminator="\n")
        header = next(reader)
        kept = [at for at, name in enumerate(header) if name not in lacks]
        writer.writerow([header[at] for at in kept])
        feature = header.index("feature")
        for row in reader:
            if len(row) != len(header):
                writer.writerow(row)
            elif row[feature] not in silent:
                writer.writerow([row[at] for at in kept])


def built(shape: Shape, work: Path) -> dict[str, object]:
    """Build one root as a person would, and say how that went; a root that was published is removed."""
    folder = work / f"root-{shape.number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written(shape, folder)
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "quality_assets.cli", "run"],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, "QUALITY_DATA_DIR": str(folder), "PYTHONPATH": str(REPOSITORY_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    snapshot, attempt = current_snapshot(folder / "published"), last_attempt(folder / "published")
    is_published = snapshot is not None and ended.returncode == 0
    result: dict[str, object] = {
        **asdict(shape),
        "is_published": is_published,
        "exit_code": ended.returncode,
        "seconds": round(time.monotonic() - started, 1),
        "reasons": list(attempt.reasons) if attempt else [],
        "words": [] if is_published else ended.stdout.splitlines() + ended.stderr.splitlines()[-20:],
    }
    if is_published:
        shutil.rmtree(folder)
    return result


def main() -> int:
    """Build what was not built yet, and print what was not published."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("shapes"), help="Where roots and results are kept.")
    parser.add_argument("--roots", type=int, default=50, help="How many roots.")
    asked = parser.parse_args()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    kept = work / "results.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    # What was not published is tried again: whoever has mended it asks whether it is.
    done = {each["number"]: each for each in map(json.loads, lines) if each["is_published"]}
    failed = []
    for shape in shapes(asked.roots):
        result = done.get(shape.number) or built(shape, work)
        if shape.number not in done:
            with kept.open("a") as stream:
                stream.write(json.dumps(result) + "\n")
        said = "published" if result["is_published"] else f"NOT PUBLISHED, kept in {work / f'root-{shape.number}'}"
        print(f"{shape}: {said} after {result['seconds']} s", flush=True)
        if not result["is_published"]:
            failed.append(result)
            print("\n".join(f"    {line}" for line in result["words"]), flush=True)  # type: ignore[attr-defined]
    print(f"{asked.roots - len(failed)} of {asked.roots} roots published.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
