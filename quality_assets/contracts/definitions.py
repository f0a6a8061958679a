"""What people define in YAML beside the data: funnels, segments, what a share is, what events stand for.

The models of those files, and their loading. What their names mean is held against the data where they are read
(`tables/impact/defined.py`); SQL of them is in `domain/impact/`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from quality_assets.contracts.impact import MOST_WINDOW_DAYS
from quality_assets.contracts.sources.as_written import parsed
from quality_assets.contracts.sources.model import StrictModel, Text, TextMap
from quality_assets.contracts.yaml_errors import explained, unreadable

SPLIT_COLUMNS: Mapping[str, str] = {
    "platform": "platform",
    "device": "device_type",
    "device_type": "device_type",
    "country": "country",
    "version": "app_version",
    "app_version": "app_version",
    "variant": "variant",
}
"""What a funnel may be split by, and the event's column that says it."""

PROPERTY_MARK = "properties."
SIGNALS = ("interest", "engagement", "decision", "completion", "value", "sharing")
_PERIOD = re.compile(r"^(\d+)\s*(d|h|m|min)$")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "min": "minutes"}


class DefinitionError(ValueError):
    """A definition is wrong; the message names the file, the key and what is allowed there."""


def _period(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    found = _PERIOD.match(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a period such as 7d, 12h or 30m")
    period = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if not timedelta(0) < period <= timedelta(days=MOST_WINDOW_DAYS):
        raise ValueError(f"{value} is not between 1m and {MOST_WINDOW_DAYS}d")
    return period


def _days(value: Any) -> Any:
    period = _period(value)
    if period % timedelta(days=1):
        raise ValueError(f"{value} is not a number of whole days, such as 28d")
    return period.days


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str | int | float) else value


Period = Annotated[timedelta, BeforeValidator(_period)]
Days = Annotated[int, BeforeValidator(_days)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Values = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1)]


class Happening(StrictModel):
    """Events of a feature, of a name, or both, whose properties say what `where` asks for."""

    feature: Text | None = None
    event_name: Text | None = None
    where: TextMap = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Happening:
        if self.feature is None and self.event_name is None:
            raise ValueError("names neither a feature nor an event_name; name one of them, or both")
        return self


class Definition(StrictModel):
    """What all definitions have: a name, who answers for it, what it is in words."""

    kind: ClassVar[str] = ""
    name: Name
    owner: Text
    description: Text | None = None

    @property
    def reach_days(self) -> int:
        """Days before or after a day that it reads."""
        return 0

    @property
    def version(self) -> str:
        """Fingerprint of what it computes: other words and another owner leave it as it is."""
        meaning = self.model_dump_json(exclude={"owner", "description"})
        return hashlib.sha256(meaning.encode()).hexdigest()[:16]


class Funnel(Definition):
    """Steps that a user or a session takes one after another within a window from the first."""

    kind: ClassVar[str] = "funnel"
    unit: Literal["user", "session"] = "user"
    window: Period = timedelta(days=7)
    steps: Annotated[tuple[Happening, ...], Field(min_length=2, max_length=12)]
    segments: tuple[Text, ...] = ()

    @field_validator("steps")
    @classmethod
    def _differ(cls, steps: tuple[Happening, ...]) -> tuple[Happening, ...]:
        seen: dict[str, int] = {}
        for number, step in enumerate(steps, start=1):
            same = seen.setdefault(step.model_dump_json(), number)
            if same != number:
                raise ValueError(f"steps {same} and {number} are the same events; a step needs events of its own")
        return steps

    @field_validator("segments")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in SPLIT_COLUMNS and not (name.startswith(PROPERTY_MARK) and len(name) > len(PROPERTY_MARK)):
                raise ValueError(f"{name!r} is not one of {', '.join(SPLIT_COLUMNS)}, properties.KEY")
        if len(set(names)) != len(names):
            raise ValueError("a segment comes twice")
        return names

    @property
    def reach_days(self) -> int:
        """Days after a day of entry on which a step may still be reached."""
        return -(-int(self.window.total_seconds()) // 86_400)


class AtLeast(StrictModel):
    """A number that is reached, not exceeded, or both, within a period that ends with the day."""

    at_least: Annotated[int, Field(ge=1)] | None = None
    at_most: Annotated[int, Field(ge=0)] | None = None
    within: Days

    @model_validator(mode="after")
    def _bounds(self) -> AtLeast:
        if self.at_least is None and self.at_most is None:
            raise ValueError("needs at_least, at_most, or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is more than at_most {self.at_most}")
        return self


class Uses(AtLeast):
    """Uses of a feature, in events."""

    feature: Text


class NotUsed(StrictModel):
    """No use of a feature within a period."""

    feature: Text
    within: Days


class Tenure(StrictModel):
    """Days since the first day in the product."""

    at_least: Days | None = None
    at_most: Days | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Tenure:
        if self.at_least is None and self.at_most is None:
            raise ValueError("needs at_least, at_most, or both")
        return self


class Score(StrictModel):
    """The latest week's score of who may stay away: its band, its rank (0 least likely, 1 most), or both."""

    band: (
        Annotated[tuple[Literal["high", "middle", "low"], ...], BeforeValidator(_listed), Field(min_length=1)] | None
    ) = None
    at_least: Annotated[float, Field(ge=0, le=1)] | None = None
    at_most: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Score:
        if self.band is None and self.at_least is None and self.at_most is None:
            raise ValueError("needs band, at_least or at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is more than at_most {self.at_most}")
        return self


class Condition(StrictModel):
    """One thing that holds of a user at the end of a day; exactly one key."""

    active_days: AtLeast | None = None
    uses: Uses | None = None
    not_used: NotUsed | None = None
    tenure: Tenure | None = None
    score: Score | None = None
    platform: Values | None = None
    country: Values | None = None
    version: Values | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Condition:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"has {len(given)} keys; exactly one of {', '.join(type(self).model_fields)}")
        return self


class Segment(Definition):
    """People of whom all, or any, of some conditions hold; only of the last 90 days, so that any day can be redone."""

    kind: ClassVar[str] = "segment"
    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()

    @model_validator(mode="after")
    def _asks_something(self) -> Segment:
        if not self.all and not self.any:
            raise ValueError("has no conditions; give all, any, or both")
        return self

    @property
    def reach_days(self) -> int:
        """Days before a day that it reads."""
        return MOST_WINDOW_DAYS


class Sharing(Definition):
    """Which event is a share, which shows the result that can be shared, and which property names the inviter."""

    kind: ClassVar[str] = "sharing"
    name: Name = "sharing"
    share: Happening
    result: Happening
    inviter: Text | None = None

    @field_validator("inviter")
    @classmethod
    def _is_property(cls, value: str | None) -> str | None:
        return value.removeprefix(PROPERTY_MARK) if value else None


class CataloguedEvent(StrictModel):
    """An event in words, and the signal of engagement that it stands for."""

    event_name: Text
    feature: Text | None = None
    words: Text
    signal: Literal["interest", "engagement", "decision", "completion", "value", "sharing"] | None = None


class Catalogue(Definition):
    """What each event is, in words."""

    kind: ClassVar[str] = "events"
    name: Name = "events"
    owner: Text = "unknown"
    events: tuple[CataloguedEvent, ...]


@dataclass(frozen=True)
class Loaded:
    """One definition as its file says it, or why that cannot be used."""

    kind: str
    name: str
    owner: str | None
    version: str
    reach_days: int
    spec: str
    path: str
    error: str | None


Model = TypeVar("Model", bound=Definition)


def load_folder(folder: Path, model: type[Definition]) -> list[Loaded]:
    """The definitions of all `*.yaml` and `*.yml` files of a folder, by name; a wrong one harms no other."""
    found: dict[str, Loaded] = {}
    for path in sorted(p for kind in ("*.yaml", "*.yml") for p in folder.glob(kind) if not p.name.startswith(".")):
        loaded = load_file(path, model)
        if loaded.name in found:
            said = f"{loaded.path}: name: {loaded.name!r} is already the name of another {model.kind}"
            loaded = _wrong(model, f"{loaded.name}.{path.stem}", loaded.owner, loaded.path, said)
        found[loaded.name] = loaded
    return list(found.values())


def load_file(path: Path, model: type[Definition], folders: int = 1) -> Loaded:
    """The definition of one file, which lies so many folders below the data root: it is named from there on."""
    shown = "/".join(path.absolute().parts[-2 - folders :])
    content: Any = None
    try:
        content = parsed(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            return _wrong(model, path.stem, None, shown, f"{shown}: holds no keys")
        defined = model.model_validate(content)
    except ValidationError as error:
        lines = "\n".join(f"{shown}: {line}" for line in explained(error, model))
        return _wrong(model, str(content.get("name", path.stem)), _text_or_none(content.get("owner")), shown, lines)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return _wrong(model, path.stem, None, shown, f"{shown}: {unreadable(path, error)}")
    spec = json.dumps(defined.model_dump(mode="json"))
    return Loaded(model.kind, defined.name, defined.owner, defined.version, defined.reach_days, spec, shown, None)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _wrong(model: type[Definition], name: str, owner: str | None, path: str, error: str) -> Loaded:
    return Loaded(model.kind, name, owner, hashlib.sha256(error.encode()).hexdigest()[:16], 0, "{}", path, error)


def from_spec(model: type[Model], spec: str) -> Model:
    """The definition that `Loaded.spec` says."""
    said = json.loads(spec)
    if "window" in said:
        # As pydantic writes periods.
        said["window"] = _from_iso(said["window"])
    return model.model_validate({key: value for key, value in said.items() if value is not None} | _whole_days(said))


def _whole_days(said: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of a segment with their days as people write them."""

    def written(value: Any, key: str = "", parent: str = "") -> Any:
        if isinstance(value, dict):
            return {k: written(v, k, key) for k, v in value.items() if v is not None}
        if isinstance(value, list):
            return [written(each, "", key) for each in value]
        return f"{value}d" if isinstance(value, int) and (key == "within" or parent == "tenure") else value

    return {key: written(said[key], key) for key in ("all", "any") if key in said}


def _from_iso(text: str) -> timedelta:
    found = re.match(r"^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$", text)
    if found is None:
        raise DefinitionError(f"{text!r} is no period")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
