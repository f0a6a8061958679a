"""The file of online features, as a model: aggregates, windows, features by version."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from quality_assets.contracts import yaml_text
from quality_assets.contracts.sources.model import StrictModel
from quality_assets.contracts.yaml_errors import explained
from quality_assets.domain.live.expressions import ExpressionError, names_of

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
EVENT_FIELDS = ("event_name", "status", "device_type", "latency_us", "event_us", "feature", "platform", "country")


class FeatureFileError(ValueError):
    """The file of online features is wrong. The message names file, key and what is allowed."""


class Aggregate(StrictModel):
    """What is kept of one user and one tile: exactly one of count, sum, max and latest."""

    count: str | None = None
    sum: str | None = None
    max: str | None = None
    latest: str | None = None
    where: str | None = None
    description: str

    @model_validator(mode="after")
    def _one_kind(self) -> Aggregate:
        given = [kind for kind in ("count", "sum", "max", "latest") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of count, sum, max, latest, not {', '.join(given) or 'none'}")
        if self.count is not None and self.where is not None:
            raise ValueError("count is a condition already; where has no meaning beside it")
        for text in (self.measured, self.where):
            unknown = names_of(text) - set(EVENT_FIELDS) if text else set()
            if unknown:
                raise ValueError(f"{', '.join(sorted(unknown))} is not one of {', '.join(EVENT_FIELDS)}")
        return self

    @property
    def kind(self) -> str:
        """count, sum, max or latest."""
        return next(kind for kind in ("count", "sum", "max", "latest") if getattr(self, kind) is not None)

    @property
    def measured(self) -> str:
        """The condition that is counted, or the expression that is summed or kept."""
        return str(getattr(self, self.kind))


class OnlineFeature(StrictModel):
    """A feature of a user: an expression over aggregates in windows, from a version on."""

    name: Name
    version: Annotated[int, Field(ge=1)] = 1
    type: Literal["integer", "number", "text", "boolean"]
    kind: Literal["aggregation", "temporal", "categorical", "ratio", "composite"]
    expression: str
    unit: str | None = None
    description: str


class Segment(StrictModel):
    """Users for whom a condition over the features of a version holds just now."""

    version: Annotated[int, Field(ge=1)] = 1
    condition: str
    description: str


class FeatureSet(StrictModel):
    """All that `features.yaml` says."""

    tile_minutes: Annotated[int, Field(ge=1, le=60)]
    windows: dict[str, Annotated[int, Field(ge=1)]]
    aggregates: dict[Name, Aggregate]
    features: tuple[OnlineFeature, ...]
    segments: dict[Name, Segment] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_known(self) -> FeatureSet:
        known = {f"{aggregate}_{window}" for aggregate in self.aggregates for window in self.windows}
        seen: set[tuple[str, int]] = set()
        for feature in self.features:
            unknown = names_of(feature.expression) - known
            if unknown:
                raise ValueError(
                    f"{feature.name}: {', '.join(sorted(unknown))} is no aggregate with a window behind it"
                )
            if (feature.name, feature.version) in seen:
                raise ValueError(f"{feature.name}: version {feature.version} is there twice")
            seen.add((feature.name, feature.version))
        for name, segment in self.segments.items():
            unknown = names_of(segment.condition) - {feature.name for feature in self.view(segment.version)}
            if unknown:
                raise ValueError(f"{name}: {', '.join(sorted(unknown))} is no feature of version {segment.version}")
        return self

    @property
    def tile_us(self) -> int:
        """The length of a tile, in µs."""
        return self.tile_minutes * 60_000_000

    @property
    def most_tiles(self) -> int:
        """How many tiles before the current one the longest window has."""
        return max(self.windows.values())

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that can be asked for."""
        return tuple(sorted({feature.version for feature in self.features}))

    def view(self, version: int) -> tuple[OnlineFeature, ...]:
        """The features of a version: of each name the newest that is not newer."""
        newest: dict[str, OnlineFeature] = {}
        for feature in sorted(self.features, key=lambda each: each.version):
            if feature.version <= version:
                newest[feature.name] = feature
        return tuple(newest.values())

    def windowed(self, version: int) -> tuple[str, ...]:
        """The aggregates with their windows that a version needs, as `<aggregate>_<window>`."""
        needed = dict.fromkeys(name for feature in self.view(version) for name in sorted(names_of(feature.expression)))
        return tuple(needed)

    def split(self, windowed: str) -> tuple[str, str]:
        """The aggregate and the window of a name made of both."""
        aggregate, _, window = windowed.rpartition("_")
        return aggregate, window

    def fingerprint(self, version: int) -> str:
        """What a version means, as a hash: names, types, expressions, windows and aggregates that it is made of."""
        needed = sorted(self.windowed(version))
        meaning = {
            "tile_minutes": self.tile_minutes,
            "features": [feature.model_dump(include={"name", "type", "expression"}) for feature in self.view(version)],
            "windows": {name: self.windows[self.split(name)[1]] for name in needed},
            "aggregates": {
                self.split(name)[0]: self.aggregates[self.split(name)[0]].model_dump(exclude={"description"})
                for name in needed
            },
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]


def load_features(path: Path) -> FeatureSet:
    """Read the file of online features, once while it is the same. FeatureFileError names what is wrong."""
    try:
        return _feature_set(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise FeatureFileError(f"{path}: {error}") from error
    except ValidationError as error:
        raise FeatureFileError(f"{path}: {'; '.join(explained(error, FeatureSet))}") from error
    except ExpressionError as error:
        raise FeatureFileError(f"{path}: {error}") from error


@lru_cache(maxsize=2)
def _feature_set(text: str) -> FeatureSet:
    return FeatureSet.model_validate(yaml_text.load(text))
