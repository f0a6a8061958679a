"""Addresses: of the app's own pages, with their state, and of the Dagster UI. Nothing is fetched here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from quality_assets.settings import get_settings

WINDOWS = (7, 28, 90)
DEFAULT_WINDOW = 28
FEATURE_PREFIX = "/feature/"
FUNNELS = "/funnels"
ALERT_PREFIX = "/alerts/"
EXPERIMENT_PREFIX = "/experiments/"
DATASET_PREFIX = "/sources/"
MODEL_PREFIX = "/models/"
RISK_MODEL = "/models/feature_risk"


@dataclass(frozen=True)
class Request:
    """What the address asks for: a path, and the state after `?`. Unknown or malformed state is ignored."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, path: str | None, search: str | None) -> Request:
        """From the two halves of a URL, as the browser holds them."""
        return cls(path or "/", dict(parse_qsl((search or "").lstrip("?"))))

    @property
    def days(self) -> int:
        """The window in days: 7, 28 or 90; 28 where the address says nothing it could mean."""
        asked = self.query.get("window", "").removesuffix("d")
        return int(asked) if asked in map(str, WINDOWS) else DEFAULT_WINDOW

    @property
    def feature(self) -> str | None:
        """The product feature that a `/feature/…` address names, else None."""
        return unquote(self.path[len(FEATURE_PREFIX) :]) if self.path.startswith(FEATURE_PREFIX) else None

    def url(self, **changes: str | None) -> str:
        """The same address with some state changed; None takes it out."""
        query = {k: v for k, v in {**self.query, **changes}.items() if v}
        return self.path + (f"?{urlencode(query)}" if query else "")


def feature(name: str, query: Mapping[str, Any] | None = None) -> str:
    """The address of a feature's page; any text is a feature's name."""
    return FEATURE_PREFIX + quote(name, safe="") + (f"?{urlencode(query)}" if query else "")


def funnel(name: str) -> str:
    """The address of a funnel's page."""
    return f"{FUNNELS}/{quote(name, safe='')}"


def funnel_of(path: str) -> str | None:
    """The funnel that an address names; None where it names none."""
    return _name_after(f"{FUNNELS}/", path)


def table_csv(name: str, **query: str | int | None) -> str:
    """The address of one of the app's tables as CSV."""
    given = {k: v for k, v in query.items() if v is not None}
    return f"/api/v1/tables/{name}.csv" + (f"?{urlencode(given)}" if given else "")


def experiment(name: str) -> str:
    """The address of an experiment's page; any text is an experiment's name."""
    return EXPERIMENT_PREFIX + quote(name, safe="")


def experiment_of(path: str) -> str | None:
    """The experiment that an `/experiments/…` address names; None where it names none."""
    return _name_after(EXPERIMENT_PREFIX, path)


def alert_of(path: str) -> str | None:
    """The alert that an `/alerts/…` address names; None where it names none."""
    return _name_after(ALERT_PREFIX, path)


def alert(alert_id: str) -> str:
    """The address of an alert's page."""
    return ALERT_PREFIX + quote(alert_id, safe="")


def dataset_of(path: str) -> str | None:
    """The watched table that a `/sources/…` address names; None where it names none."""
    return _name_after(DATASET_PREFIX, path)


def dataset(name: str) -> str:
    """The address of a watched table's page."""
    return DATASET_PREFIX + quote(name, safe="")


def model_of(path: str) -> str | None:
    """The model that a `/models/…` address names; None where it names none, or that of risk, which has its own page."""
    return None if path.rstrip("/") == RISK_MODEL else _name_after(MODEL_PREFIX, path)


def _name_after(prefix: str, path: str) -> str | None:
    """The name that an address has behind a prefix; a slash of the name itself is quoted in it."""
    return unquote(path[len(prefix) :].strip("/")) or None if path.startswith(prefix) else None


def model(name: str) -> str:
    """The address of a model's page."""
    return MODEL_PREFIX + quote(name, safe="")


def dagster(path: str = "") -> str:
    """An address in the Dagster UI."""
    settings = get_settings()
    # A server that listens on every address is reached by name.
    host = "localhost" if settings.dagster_host in ("0.0.0.0", "::") else settings.dagster_host  # noqa: S104
    return f"http://{host}:{settings.dagster_port}{path}"


def dagster_asset(asset: str) -> str:
    """The page of an asset, named `schema.table`, in the Dagster UI."""
    return dagster("/assets/" + "/".join(quote(part, safe="") for part in asset.split(".", 1)))


def dagster_run(run_id: str) -> str:
    """The page of a run in the Dagster UI."""
    return dagster(f"/runs/{quote(run_id, safe='')}")
