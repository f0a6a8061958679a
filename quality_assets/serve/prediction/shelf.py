"""The models that a server answers for: the release of each that is in use, loaded once it is proven, swapped.

A release that cannot be used is passed over, and told of; whoever was asked before goes on with what it began with.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from quality_assets.domain.models.learning.columns_of import Columns, columns_of_rows
from quality_assets.domain.models.learning.flat_trees import quick
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.release_stack import Release, stack
from quality_assets.domain.models.learning.requests import request_model
from quality_assets.domain.models.learning.residuals import OFF_BY
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.models.learning.tabular_model import ModelFormatError, TabularModel
from quality_assets.settings import Settings
from quality_assets.stores.canaries import Canary, canary_of
from quality_assets.stores.recalibrated import kept_text, with_intervals
from quality_assets.stores.released import (
    VersionUnavailableError,
    differs_from_reference,
    load_released,
    load_version,
    manifest,
)
from quality_assets.stores.releases import release_log
from quality_assets.stores.shadows import shadows_of

log = logging.getLogger("quality.prediction")

_LEAST_OUTCOMES = 50


@dataclass(frozen=True)
class InUse:
    """A release that answers. `coverage_last_30d`: of outcomes that came since, None where too few are known."""

    use_case: TabularUseCase
    model: TabularModel
    release: Release
    row_type: type[BaseModel]
    problems: tuple[str, ...]
    coverage_last_30d: float | None
    shadows: tuple[tuple[str, TabularModel], ...] = ()
    canary: tuple[Canary, InUse] | None = None

    def columns(self, rows: Sequence[Mapping[str, Any]]) -> Columns:
        """Checked rows as the model takes them."""
        return columns_of_rows(self.use_case.contract.inputs, rows)

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What is said of checked rows, without names of requests."""
        found = self.model.answers(self.columns(rows))
        coverage = self.coverage_last_30d
        of_all: dict[str, Any] = {
            "model": self.use_case.name, "version": self.release.version, "release_seq": self.release.seq,
            "coverage_last_30d": coverage,
        }  # fmt: skip
        if coverage is not None:
            is_near = abs(coverage - self.use_case.settings.coverage) <= OFF_BY
            of_all["interval_status"] = "ok" if is_near else "off"
        for each in found:
            each["y_hat"] = each["prediction"]
            each.update(of_all)
        return found


Told = tuple[tuple[str, float] | None, tuple[str, ...], Canary | None, str]
"""Coverage of the last 30 days with the version it is of, versions that are shadows, the canary, and intervals learnt
from outcomes."""


class NotServedError(LookupError):
    """Nothing answers for a model that is known; says why."""


class Shelf:
    """The models of a server by name. `look` is called by one thread at a time, `of` by anybody."""

    def __init__(self, settings: Settings, names: Sequence[str]) -> None:
        self.settings, self.names = settings, tuple(names)
        self._log = release_log(settings)
        self._seen: int | None = None
        self._in_use: dict[str, InUse] = {}
        self._why: dict[str, str] = {}
        self._looked: dict[str, tuple[Any, ...]] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> InUse:
        """The release that answers. Raises KeyError where the model is unknown here, NotServedError where none does."""
        found = self._in_use.get(name)
        if found is not None:
            return found
        if name not in self.names:
            raise KeyError(name)
        raise NotServedError(self._why.get(name, f"no version of {name} is released"))

    def served(self) -> list[str]:
        """The models for which something answers."""
        return [name for name in self.names if name in self._in_use]

    def look(self) -> None:
        """Load what was released since; a no-op where the store was not written."""
        with self._lock:
            count = self._log.change_count()
            for name in self.names:
                models_dir = self.settings.models_dir
                told = (
                    self._coverage(name), shadows_of(models_dir, name), canary_of(models_dir, name),
                    kept_text(models_dir, name),
                )  # fmt: skip
                if count != self._seen or told != self._looked.get(name, (None, None))[1]:
                    self._look_at(TABULAR[name], told)
            self._seen = count

    def _look_at(self, use_case: TabularUseCase, told: Told) -> None:
        releases = self._log.of(use_case.name)
        state = (tuple((each.seq, each.at) for each in stack(releases)), told)
        if self._looked.get(use_case.name) == state:
            return
        try:
            found = self._loaded(use_case, releases, told)
        except (VersionUnavailableError, ModelFormatError) as error:
            log.error("no release of %s can be used: %s", use_case.name, error)
            self._why[use_case.name] = str(error)
            if not stack(releases):
                self._in_use.pop(use_case.name, None)
        else:
            self._in_use[use_case.name] = found
            for problem in found.problems:
                log.error("%s; version %s answers", problem, found.release.version)
        self._looked[use_case.name] = state

    def _loaded(self, use_case: TabularUseCase, releases: Sequence[Release], told: Told) -> InUse:
        models_dir = self.settings.models_dir
        released = load_released(models_dir, use_case, releases)
        version = released.release.version
        model = quick(released.model)
        wrong = differs_from_reference(use_case, model, manifest(models_dir, use_case.name, version)["reference"])
        # What the trees say as arrays is what they said before; where it is not, they are asked as they are.
        model = released.model if wrong else model
        row_type = request_model(use_case.contract, model.inputs)
        coverage, shadows, canary, intervals = told
        # Proven as it was saved; what outcomes say of its intervals comes after.
        model = with_intervals(model, version, intervals)
        is_beside = canary is not None and canary.version != version
        others = [each for each in shadows if each != version and not (canary and is_beside and each == canary.version)]
        beside = tuple(self._shadows(use_case, others))
        # The last look may have been at the version before: what that did says nothing of this one.
        own = coverage[1] if coverage is not None and coverage[0] == version else None
        found = InUse(use_case, model, released.release, row_type, released.problems, own, beside)
        return replace(found, canary=self._canary(found, canary)) if canary is not None and is_beside else found

    def _canary(self, found: InUse, canary: Canary) -> tuple[Canary, InUse] | None:
        """The version that answers some of the keys, if it takes the same rows; None where it cannot be used."""
        own = next(self._shadows(found.use_case, [canary.version]), None)
        if own is None or set(own[1].inputs) != set(found.model.inputs):
            log.error("the canary of %s, version %s, cannot be used", found.use_case.name, canary.version)
            return None
        release = replace(found.release, version=canary.version, seq=canary.seq)
        return canary, InUse(found.use_case, own[1], release, found.row_type, (), None)

    def _shadows(self, use_case: TabularUseCase, versions: Sequence[str]) -> Iterator[tuple[str, TabularModel]]:
        """Those that can be used: what is only looked at stands in nobody's way."""
        for version in versions:
            try:
                yield version, quick(load_version(self.settings.models_dir, use_case, version))
            except (VersionUnavailableError, ModelFormatError) as error:
                log.error("a shadow of %s cannot be used: %s", use_case.name, error)

    def _coverage(self, name: str) -> tuple[str, float] | None:
        """What the last look at outcomes found, and of which version, from the report that it has written."""
        path = self.settings.reports_dir / "drift" / f"{name}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            told = found["performance"]
            return (found["version"], float(told["coverage"])) if told["outcomes"] >= _LEAST_OUTCOMES else None
        except (OSError, ValueError, LookupError, TypeError):
            return None
