"""Models that people bring, with their releases: deploying one, putting a version in use, and looking for drift.

Files are kept by `stores/user_models`; each deployment is a release, and so is what people put in use or take back.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.drift_replay import alternatives
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.release_stack import Release, given_back, in_use, newest
from quality_assets.domain.models.learning.served_drift import DriftLimits
from quality_assets.settings import Settings
from quality_assets.stores import user_models as store
from quality_assets.stores.landing import PREDICTIONS_KEPT_DAYS
from quality_assets.stores.releases import release_log
from quality_assets.stores.request_ids import RequestIds, key_of
from quality_assets.tables.drift_limits import limits_to_look_by, shown
from quality_assets.tables.drift_reports import DriftReport, write_report

OURS = (*TABULAR, "feature_risk")
"""Names that nobody else may take."""


def names(settings: Settings) -> list[str]:
    """Of all models that people brought."""
    return [name for name in store.names(settings.models_dir) if name not in OURS]


def is_brought(settings: Settings, name: str) -> bool:
    """Whether somebody brought a model of this name."""
    return name in names(settings)


def version_in_use(settings: Settings, name: str) -> str | None:
    """The version that answers; None, which is the newest, where no release says which."""
    current = in_use(release_log(settings).of(name))
    return current.version if current is not None else None


def about(settings: Settings, name: str) -> dict[str, Any]:
    """What is kept of the version in use. Raises UnknownModelError, AlteredModelError."""
    return store.about_model(settings.models_dir, name, version_in_use(settings, name))


def bring(
    settings: Settings,
    brought: store.Brought,
    actor: str,
    *,
    only_check: bool = False,
    contract_sha256: str | None = None,
) -> dict[str, Any]:
    """Judge a model, keep it and put it in use; with `only_check` nothing is kept.

    `contract_sha256`: that of the contract that somebody has seen and confirmed; RefusedModelError where another is
    learnt now. Raises RefusedModelError, BusyError.
    """
    told = store.deploy(settings.models_dir, brought, actor, only_check=only_check, confirmed=contract_sha256)
    if not only_check:
        release_log(settings).promote(
            brought.name, told["version"], actor=actor, reason="deployed", evidence=told["model_sha256"]
        )
    return told


def put_in_use(
    settings: Settings,
    name: str,
    version: str,
    *,
    actor: str,
    reason: str,
    expected_seq: int | None = None,
    at: datetime | None = None,
) -> Release | None:
    """Put a version in use whose files are those that were saved; None where it is. Raises UnknownModelError,
    AlteredModelError, ReleaseConflictError."""
    kept = store.about_model(settings.models_dir, name, version)
    store.check_whole(settings.models_dir, kept)
    return release_log(settings).promote(
        name, version, actor=actor, reason=reason, evidence=kept["model_sha256"], at=at, expected_seq=expected_seq
    )


def take_back(
    settings: Settings, name: str, *, actor: str, reason: str, expected_seq: int | None = None,
    at: datetime | None = None,
) -> Release:  # fmt: skip
    """Put the version before in use again. Raises NoEarlierReleaseError and as `put_in_use`."""
    log = release_log(settings)
    before = log.of(name)
    back, last = given_back(before), newest(before)
    store.check_whole(settings.models_dir, store.about_model(settings.models_dir, name, back.version))
    seen = expected_seq if expected_seq is not None else last.seq if last is not None else None
    return log.rollback(name, actor=actor, reason=reason, at=at, expected_seq=seen)


def predict(settings: Settings, name: str, row: dict[str, Any]) -> dict[str, Any]:
    """What the version in use says of a row. Raises as `store.predict`."""
    version = version_in_use(settings, name)
    return store.predict(settings.models_dir, name, row, version, _ids(settings.data_dir / "predictions").new(name))


def take_outcome(settings: Settings, name: str, request_id: str, y: Any) -> dict[str, Any]:
    """Keep what came of a prediction, once. Raises UnknownRequestError, and as `store.take_outcome`."""
    if not _ids(settings.data_dir / "predictions").is_known(name, request_id):
        raise UnknownRequestError(
            f"No prediction of {name} of the last {PREDICTIONS_KEPT_DAYS} days has this request_id; it is told with"
            " each."
        )
    taken = store.take_outcome(settings.models_dir, name, request_id, y)
    return {"request_id": request_id, "y": y, "model": name, "status": taken}


class UnknownRequestError(LookupError):
    """No prediction that is known has this name."""


@lru_cache(maxsize=4)
def _ids(folder: Path) -> RequestIds:
    """One for each root, since it counts."""
    return RequestIds(key_of(folder), PREDICTIONS_KEPT_DAYS)


def look_for_drift(settings: Settings, name: str, limits: DriftLimits | None = None) -> DriftReport:
    """Judge what the version in use was asked, and write reports/drift/NAME.json and .html. Raises UnknownModelError,
    AlteredModelError, RefusedModelError, BusyError."""
    limits, moment = limits or limits_to_look_by(settings, name), utc_now()
    found = store.drift(settings.models_dir, name, limits, version_in_use(settings, name))
    content = {
        **found,
        "rows": found["inputs"],
        "source": "predictions",
        "current_rows": found["rows"],
        "checked_at": f"{moment.isoformat(timespec='seconds')}Z",
        "drifted": [each["input"] for each in found["inputs"] if each["is_drifted"]],
        "limits": shown(limits),
        "performance": store.performance(settings.models_dir, name, limits, found["version"], moment.date()),
        "replay": alternatives(found["days"], limits),
    }
    if content["performance"]["is_drifted"]:
        worse = content["performance"]["words"]
        content |= {
            "status": "alert", "alert": True,
            "words": f"{found['words']}; {worse}" if found["status"] == "alert" else worse,
        }  # fmt: skip
    report = DriftReport(name, found["version"], content["status"], content["words"], "predictions", content)
    write_report(settings, report)
    return report
