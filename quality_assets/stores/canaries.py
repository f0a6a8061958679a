"""The canary of a model: a version that answers a share of the requests, by key, until it is put in use or taken back.

Which it is lies beside the versions, for whoever serves; every step is a row of the log of releases, of stage canary.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.release_stack import in_use
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.settings import Settings
from quality_assets.stores.files import write_atomically
from quality_assets.stores.released import VersionUnavailableError, gates, registry_folder_of
from quality_assets.stores.releases import release_log

_DIGEST_BYTES = 8
_ALL = 1 << (8 * _DIGEST_BYTES)


@dataclass(frozen=True)
class Canary:
    """A version that answers `share` of the keys; `since` is UTC as ISO 8601, `seq` the release that began it."""

    version: str
    share: float
    since: str
    seq: int

    def answers(self, key: bytes) -> bool:
        """Whether it answers for a key: the same key always, of a larger share also those of a smaller."""
        return int.from_bytes(blake2b(key, digest_size=_DIGEST_BYTES).digest()) < self.share * _ALL


def canary_of(models_dir: Path, name: str) -> Canary | None:
    """The canary of a model; None where there is none, or none that can be read."""
    try:
        return Canary(**json.loads(_path(models_dir, name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def running_canary(settings: Settings, name: str) -> Canary | None:
    """The canary of a model, unless its version is in use by now."""
    found, current = canary_of(settings.models_dir, name), in_use(release_log(settings).of(name))
    return None if found is None or current is None or current.version == found.version else found


def start_canary(
    settings: Settings, use_case: TabularUseCase, version: str, share: float, *, actor: str, reason: str
) -> Canary:
    """Have a version answer a share of the keys, or another share than before.

    Raises VersionUnavailableError where it does not pass its gates, is in use, or nothing is; ValueError for a share
    that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of a canary is above 0 and at most 1, not {share:g}")
    name, log = use_case.name, release_log(settings)
    current = in_use(log.of(name))
    if current is None:
        raise VersionUnavailableError(f"no version of {name} is in use that a canary could be compared with")
    if current.version == version:
        raise VersionUnavailableError(f"version {version} of {name} is in use already")
    evidence = gates(settings.models_dir, use_case, version)
    step = log.canary_step(
        name, version, "promote", actor=actor, reason=f"share {share:g}: {reason}", evidence=evidence["sha256"]
    )
    before = canary_of(settings.models_dir, name)
    since = before.since if before is not None and before.version == version else f"{utc_now().isoformat()}Z"
    found = Canary(version, float(share), since, step.seq)
    write_atomically(_path(settings.models_dir, name), json.dumps(found.__dict__))
    return found


def end_canary(settings: Settings, name: str, *, actor: str, reason: str) -> Canary | None:
    """Have it answer no longer; what it was, None where there was none."""
    found = canary_of(settings.models_dir, name)
    if found is None:
        return None
    try:
        _path(settings.models_dir, name).unlink()
    except FileNotFoundError:
        # Somebody else has ended it meanwhile, and written that down.
        return None
    release_log(settings).canary_step(name, found.version, "rollback", actor=actor, reason=reason)
    return found


def _path(models_dir: Path, name: str) -> Path:
    return registry_folder_of(models_dir, name) / "canary.json"
