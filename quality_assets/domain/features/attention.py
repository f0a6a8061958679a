"""Which features need attention first, and why, in one order for report, command line and pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from quality_assets.contracts.incidents import INCIDENT_SEVERITIES
from quality_assets.contracts.metrics import METRIC_GROUPS
from quality_assets.domain.features.incident_words import is_missing, names_of, told_sentence
from quality_assets.domain.features.severity import real_part
from quality_assets.domain.plain import plain_value, rows_of_frame
from quality_assets.domain.wording import probability_text

# About the base rate: below it there is nothing to look at, and no page says so.
MINIMUM_RISK = 0.25
DEGRADED_TODAY = "degraded today by more than its own noise"
# An incident ends after some calm days; on the first of them nobody is hurt any more.
_EASED_SHARE = 0.25
# From this size on a change of feedback counts in full; all others are relative, and do from 1 on.
_WHOLE_SIZE = {"feedback": 2.0}


def severity_level(severity: Any) -> int:
    return INCIDENT_SEVERITIES.index(severity) + 1 if severity in INCIDENT_SEVERITIES else 0


def features_that_need_attention(
    incidents: pd.DataFrame | None, scores: pd.DataFrame | None, most: int = 5, minimum_risk: float = MINIMUM_RISK
) -> list[dict[str, Any]]:
    """The features to look at first, with the reasons: open incidents by severity and harm today, then risk by users.

    `scores` are rows of ml.risk_scores of one day, `reasons` being JSON with `words`. Features without an open incident
    come in from `minimum_risk` on. An empty list means that nothing is known to be wrong.
    """
    faults: dict[str, list[dict[str, Any]]] = {}
    wide: set[str] = set()
    if incidents is not None and len(incidents):
        for row in sorted(rows_of_frame(incidents[incidents["end_date"].isna()]), key=incident_order):
            faults.setdefault(row["feature"], []).append(row)
            wide |= set(names_of(row.get("features")))
    risks = {row["feature"]: row for row in rows_of_frame(scores)} if scores is not None and len(scores) else {}
    # What hits most of the product is told once, not with each of its features.
    names = [name for name in {**faults, **risks} if name in faults or name not in wide]
    found = [attention(name, faults.get(name, []), risks.get(name), minimum_risk) for name in names]
    ordered = sorted(filter(needs_attention, found), key=attention_order)[:most]
    return [plain_value(entry | {"rank": rank}) for rank, entry in enumerate(ordered, start=1)]


def attention(
    feature: str,
    incidents: Sequence[Mapping[str, Any]],
    score: Mapping[str, Any] | None,
    minimum_risk: float = MINIMUM_RISK,
) -> dict[str, Any]:
    """What speaks for looking at one feature: its open incidents, and its score from `minimum_risk` on.

    What has eased waits for the calm days that end it: it has no severity here, and speaks beside a risk alone.
    """
    entry: dict[str, Any] = {
        "feature": feature,
        "severity": None,
        "affected_users": None,
        "real_share": None,
        "harm_today": None,
        "risk_probability": None,
        "expected_users_affected": None,
        "reasons": [],
    }
    probability: Any = plain_value(score["risk_probability"]) if score is not None else None
    is_risky = probability is not None and probability >= minimum_risk
    for row in incidents:
        is_live = not has_eased(row)
        if not (is_live or is_risky):
            continue
        entry["reasons"].append(told_sentence(row))
        if is_live:
            entry["severity"] = max(entry["severity"], row["severity"], key=severity_level)
        entry["affected_users"] = _largest(entry["affected_users"], users_hit(row))
        entry["real_share"] = _largest_share(entry["real_share"], real_part(row))
        entry["harm_today"] = _largest_harm(entry["harm_today"], harm_today(row))
    if not incidents and score is not None and plain_value(score.get("is_degraded_today")):
        entry["reasons"].append(DEGRADED_TODAY)
    if score is not None and is_risky:
        entry["risk_probability"] = float(probability)
        entry["expected_users_affected"] = plain_value(score.get("expected_users_affected"))
        entry["reasons"].append(_risk_text(score))
    return entry


def needs_attention(entry: Mapping[str, Any]) -> bool:
    """Whether anything speaks for looking at the feature of an `attention`."""
    return bool(entry["reasons"])


def attention_order(entry: Mapping[str, Any]) -> tuple[int, float, float, float, str]:
    """The key that sorts what `attention` gives: what hurts comes before what may, more harm before less."""
    return (
        -severity_level(entry["severity"]),
        -float(entry["harm_today"] or 0),
        -float(entry["expected_users_affected"] or 0),
        -float(entry["risk_probability"] or 0),
        entry["feature"],
    )


def has_eased(incident: Mapping[str, Any]) -> bool:
    """Whether an open incident is less than a quarter as far off on its last day as it was on its worst.

    Its sizes are those of one metric: where it has others of another kind, it goes on.
    """
    now: Any = incident.get("current_size")
    worst: Any = incident.get("size")
    kinds = {METRIC_GROUPS.get(name, name) for name in names_of(incident.get("metrics"))}
    if incident.get("kind") == "objective" or len(kinds) > 1 or is_missing(now) or is_missing(worst) or not worst:
        return False
    return float(now) / float(worst) < _EASED_SHARE


def incident_order(incident: Mapping[str, Any]) -> tuple[bool, int, float, str]:
    """What sorts incidents wherever they are listed: what goes on, severity, how much harm is done today."""
    severity = -severity_level(incident["severity"])
    return has_eased(incident), severity, -(harm_today(incident) or 0.0), str(incident.get("incident_id"))


def harm_today(incident: Mapping[str, Any]) -> float | None:
    """Users hit on the last day, each counted by how bad it is for them, of the real part; None where unknown.

    1 is a user for whom it fails, or takes twice as long, or is two points of feedback worse. Of those who met a crash
    or an error only those count who would not have met one without it.
    """
    users = users_hit(incident)
    if users is None:
        return None
    size: Any = incident.get("real_change")
    group = METRIC_GROUPS.get(incident.get("metric", ""), "")
    if is_missing(size) or group == "volume":
        # Who is missing is missing whole; above an expected 0 everything is of the incident.
        share = 1.0
    elif group in ("crash", "error"):
        share = float(size) / (1.0 + float(size))
    else:
        share = min(float(size) / _WHOLE_SIZE.get(group, 1.0), 1.0)
    return users * share * real_part(incident)


def reasons_text(feature: str, reasons: Sequence[str]) -> str:
    """The reasons of an `attention` on one line that names the feature once: `Search: crash rate at …; risk of ….`"""
    said = "; ".join(reason.removeprefix(f"{feature}: ").rstrip(". ") for reason in reasons)
    return f"{feature}: {said}."


def users_hit(incident: Mapping[str, Any]) -> int | None:
    """Users whom an open incident hits on the last day; those of its worst day where that is not known."""
    for name in ("users_today", "affected_users"):
        value = incident.get(name)
        if value is not None and not pd.isna(value):
            return int(value)
    return None


def _largest_share(a: float | None, b: float) -> float:
    return b if a is None else max(a, b)


def _largest_harm(a: float | None, b: float | None) -> float | None:
    known = [each for each in (a, b) if each is not None]
    return max(known, default=None)


def _largest(a: Any, b: Any) -> int | None:
    known = [int(v) for v in (a, b) if v is not None and not pd.isna(v)]
    return max(known, default=None)


def _risk_text(row: Mapping[str, Any]) -> str:
    causes = raising_reasons(row)
    why = f": {'; '.join(causes)}" if causes else ""
    horizon = row.get("horizon_days")
    within = f" within {int(horizon)} days" if horizon is not None and not pd.isna(horizon) else ""
    return f"risk of degradation{within} {probability_text(float(row['risk_probability']))}{why}"


def model_reasons(score: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The model's reasons for a score, largest first; none where it gives none."""
    return json.loads(score.get("reasons") or "[]") if score is not None else []


def raising_reasons(score: Mapping[str, Any] | None) -> list[str]:
    """What raises a score, in words, largest first; what lowers it explains no risk."""
    return [str(reason["words"]) for reason in model_reasons(score) if reason["size"] > 0]
