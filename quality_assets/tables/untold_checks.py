"""What checks found while the operations store did not answer, kept in a file of the data root until it can be told.

Nothing else would tell of it before their data change: what was asked is not asked again while all is as it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from quality_assets.domain.quality.result import CheckResult, kept_result
from quality_assets.settings import Settings
from quality_assets.stores.files import write_atomically


@dataclass(frozen=True)
class Untold:
    """What a run found of one asset, and how many partitions of each of its checks failed as the data stood."""

    results: Sequence[CheckResult]
    standing: Mapping[tuple[str, str], int]
    run_id: str


def keep_untold(settings: Settings, found: Untold) -> None:
    """Keep what could not be told; of a check and partition that is kept already the newer answer counts."""
    with _file(settings) as path:
        kept = _read(path)
        for asset in dict.fromkeys(result.asset for result in found.results):
            before = kept.pop(asset).results if asset in kept else ()
            own = [result for result in found.results if result.asset == asset]
            newest = {(result.check_name, result.partition_key): result for result in (*before, *own)}
            kept[asset] = Untold(list(newest.values()), found.standing, found.run_id)
        write_atomically(path, json.dumps([_plain(each) for each in kept.values()], default=lambda value: value.item()))


def tell_kept(settings: Settings, tell: Callable[[Untold], None]) -> None:
    """Tell what was kept, in order. What `tell` raises leaves all of it: what is told again of one run counts once."""
    if not _path(settings).exists():
        return
    with _file(settings) as path:
        for each in _read(path).values():
            tell(each)
        path.unlink(missing_ok=True)


def _path(settings: Settings) -> Path:
    return settings.outbox_dir / "untold_checks.json"


@contextmanager
def _file(settings: Settings) -> Iterator[Path]:
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        yield path


def _read(path: Path) -> dict[str, Untold]:
    told: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {each["results"][0]["asset"]: _untold(each) for each in told}


def _plain(each: Untold) -> dict[str, Any]:
    return {
        "run_id": each.run_id,
        "results": [asdict(result) for result in each.results],
        "standing": [[*check, count] for check, count in each.standing.items()],
    }


def _untold(plain: Mapping[str, Any]) -> Untold:
    results = [kept_result(values) for values in plain["results"]]
    return Untold(results, {(asset, name): n for asset, name, n in plain["standing"]}, plain["run_id"])
