"""Experiments as YAML files in `data/experiments`: what a file may say, and what is wrong with one, in words.

Loading never raises for a file that is wrong: it is switched off, and told of. No SQL lives here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from quality_assets.contracts.impact import MOST_WINDOW_DAYS
from quality_assets.contracts.metric_names import MetricName, MetricNameError, parse_metric_name
from quality_assets.contracts.sources.as_written import parsed
from quality_assets.contracts.sources.model import StrictModel
from quality_assets.contracts.yaml_errors import explained, unreadable

DEFAULT_MARGIN = 0.1
_WEIGHT_TOLERANCE = 1e-6


class ExperimentFileError(ValueError):
    """An experiment's file is wrong; the message names the file, the key and what is allowed there."""


def window_days(text: str) -> int:
    """Days of a window such as `7d` or `2w`; ValueError, which says what is allowed, for anything else."""
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in ("d", "w") or int(number) < 1:
        raise ValueError(f"{text!r} is no window: write days or weeks, such as 7d or 2w")
    days = int(number) * (7 if unit == "w" else 1)
    if days > MOST_WINDOW_DAYS:
        raise ValueError(f"{text!r} is longer than {MOST_WINDOW_DAYS} days, which is the longest window")
    return days


class MetricChoice(StrictModel):
    """A metric of an experiment; `direction` is where it should go, `margin` the harm that a guardrail accepts."""

    name: str
    direction: Literal["up", "down"] | None = None
    margin: Annotated[float, Field(gt=0, le=1)] = DEFAULT_MARGIN

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            parse_metric_name(name)
        except MetricNameError as error:
            raise ValueError(str(error)) from None
        return name

    @cached_property
    def metric(self) -> MetricName:
        """What the name means."""
        return parse_metric_name(self.name)

    @property
    def bad_direction(self) -> str:
        """Where the metric hurts."""
        if self.direction is not None:
            return "down" if self.direction == "up" else "up"
        return self.metric.bad_direction


def _as_choice(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Choices = tuple[Annotated[MetricChoice, BeforeValidator(_as_choice)], ...]


class MetricChoices(StrictModel):
    """The metrics of an experiment, by what they are to the decision."""

    primary: Annotated[Choices, Field(min_length=1)]
    secondary: Choices = ()
    guardrail: Choices = ()

    @model_validator(mode="after")
    def _each_once(self) -> MetricChoices:
        names = [choice.name for choice in (*self.primary, *self.secondary, *self.guardrail)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named twice; a metric has one role")
        return self

    def by_role(self) -> list[tuple[str, MetricChoice]]:
        """(role, metric) of all, primary first."""
        return [
            *(("primary", choice) for choice in self.primary),
            *(("secondary", choice) for choice in self.secondary),
            *(("guardrail", choice) for choice in self.guardrail),
        ]


def _as_arms(value: Any) -> Any:
    return dict.fromkeys(value) if isinstance(value, list) else value


def _as_control(value: Any) -> Any:
    if isinstance(value, list):
        if len(value) != 1:
            raise ValueError(f"has {len(value)} arms; exactly one arm is the control")
        return value[0]
    return value


class ExperimentFile(StrictModel):
    """One experiment: where its arms stand in events, when it runs, what it is judged by."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    owner: Annotated[str, Field(min_length=1)]
    description: str = ""
    about: str | None = None
    """The feature that its arms have or lack: what is measured then takes the place of that feature's lift."""
    variants_from: str = "variant"
    arms: Annotated[dict[str, float | None], BeforeValidator(_as_arms)]
    control: Annotated[str, BeforeValidator(_as_control)]
    start: date
    end: date
    users: Annotated[int, Field(ge=1)] | None = None
    window: str = "7d"
    metrics: MetricChoices

    @field_validator("variants_from")
    @classmethod
    def _knows_where(cls, value: str) -> str:
        if value != "variant" and not (value.startswith("properties.") and value != "properties."):
            raise ValueError(f"{value!r} is not one of variant, properties.KEY")
        return value

    @field_validator("window")
    @classmethod
    def _is_window(cls, value: str) -> str:
        window_days(value)
        return value

    @field_validator("arms")
    @classmethod
    def _weights(cls, arms: dict[str, float | None]) -> dict[str, float | None]:
        if len(arms) < 2:
            raise ValueError("needs two arms or more, such as {control: 0.5, test: 0.5}")
        given = [weight for weight in arms.values() if weight is not None]
        if given and len(given) < len(arms):
            raise ValueError("gives a weight to some arms only; give one to each, or to none")
        if any(weight <= 0 for weight in given):
            raise ValueError("has a weight that is not above 0")
        if given and abs(sum(given) - 1) > _WEIGHT_TOLERANCE:
            shares = ", ".join(f"{arm}: {(weight or 0) / sum(given):.4g}" for arm, weight in arms.items())
            raise ValueError(f"weights sum to {sum(given):g}, not to 1; of that sum they are {{{shares}}}")
        return arms

    @model_validator(mode="after")
    def _coherent(self) -> ExperimentFile:
        if self.control not in self.arms:
            raise ValueError(f"control: {self.control!r} is not one of {', '.join(self.arms)}")
        if self.end < self.start:
            raise ValueError(f"end: {self.end} lies before start, {self.start}")
        return self

    @property
    def window_days(self) -> int:
        """Days after exposure that metrics look at."""
        return window_days(self.window)

    @property
    def has_weights(self) -> bool:
        """Whether the file says how people are dealt among arms."""
        return None not in self.arms.values()

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each arm, equal ones where the file says none; the control first."""
        equal = 1 / len(self.arms)
        ordered = [self.control, *(arm for arm in self.arms if arm != self.control)]
        return {arm: equal if (weight := self.arms[arm]) is None else weight for arm in ordered}

    @property
    def property_key(self) -> str | None:
        """The property in which arms stand; None where they stand in `variant`."""
        return None if self.variants_from == "variant" else self.variants_from.removeprefix("properties.")

    @cached_property
    def version(self) -> str:
        """A fingerprint of what the file means for results; who owns it, and what it is for, changes none."""
        meaning = self.model_dump(mode="json", exclude={"owner", "description"})
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class InvalidExperiment:
    """An experiment whose file is wrong: its name as far as that can be told, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class ExperimentFiles:
    """All experiments of an installation, by name, and those whose files are wrong."""

    by_name: Mapping[str, ExperimentFile]
    invalid: tuple[InvalidExperiment, ...] = ()

    @property
    def errors(self) -> tuple[str, ...]:
        """What is wrong: one text each, which names the file, the key and what is allowed."""
        return tuple(each.reason for each in self.invalid)


def load_experiments(folder: Path) -> ExperimentFiles:
    """Read every `*.yaml` and `*.yml` of a folder; an empty one, or none, has no experiments."""
    found: dict[str, ExperimentFile] = {}
    invalid: list[InvalidExperiment] = []
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) if folder.is_dir() else []
    for path in files:
        try:
            experiment = read_experiment(path)
        except ExperimentFileError as error:
            invalid.append(InvalidExperiment(_name_of(path), str(error)))
            continue
        if experiment.name in found:
            reason = f"{path}: name: {experiment.name!r} is the name of another experiment as well"
            invalid.append(InvalidExperiment(f"{experiment.name} ({path.name})", reason))
            continue
        found[experiment.name] = experiment
    return ExperimentFiles(found, tuple(invalid))


def read_experiment(path: Path) -> ExperimentFile:
    """The experiment of one file; ExperimentFileError, with file, key and what is allowed, where it is wrong."""
    try:
        given = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ExperimentFileError(f"{path}: {unreadable(path, error)}") from None
    if not isinstance(given, dict):
        raise ExperimentFileError(f"{path}: must be keys and values, such as name: checkout_button")
    try:
        return ExperimentFile.model_validate(given)
    except ValidationError as error:
        raise ExperimentFileError(f"{path}: {next(explained(error, ExperimentFile))}") from None


def _name_of(path: Path) -> str:
    try:
        given = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return path.stem
    name = given.get("name") if isinstance(given, dict) else None
    return name if isinstance(name, str) and name else path.stem
