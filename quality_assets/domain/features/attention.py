"""Which features need attention first, and why, in one order for report, command line and pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from quality_assets.contracts.incidents import INCIDENT_SEVERITIES
from quality_assets.domain.plain import plain_value


def severity_level(severity: Any) -> int:
    return INCIDENT_SEVERITIES.index(severity) + 1 if severity in INCIDENT_SEVERITIES else 0


def features_that_need_attention(
    incidents: pd.DataFrame | None, scores: pd.DataFrame | None, most: int = 5, minimum_risk: float = 0.2
) -> list[dict[str, Any]]:
    """The features to look at first, with the reasons: open incidents by severity and users, then risk by users hit.

    `scores` are rows of ml.risk_scores of one day, `reasons` being JSON with `words`. Features without an open incident
    come in from `minimum_risk` on, which is about the base rate: below it there is nothing to look at. An empty list
    means that nothing is known to be wrong.
    """
    found: dict[str, dict[str, Any]] = {}
    if incidents is not None and len(incidents):
        for row in _rows(incidents[incidents["end_date"].isna()]):
            entry = found.setdefault(row["feature"], _attention(row["feature"]))
            entry["reasons"].append(row["sentence"])
            entry["severity"] = max(entry["severity"], row["severity"], key=severity_level)
            entry["affected_users"] = _largest(entry["affected_users"], row["affected_users"])
    if scores is not None and len(scores):
        for row in _rows(scores[scores["risk_probability"] >= minimum_risk]):
            entry = found.setdefault(row["feature"], _attention(row["feature"]))
            entry["risk_probability"] = float(row["risk_probability"])
            entry["expected_users_affected"] = plain_value(row.get("expected_users_affected"))
            entry["reasons"].append(_risk_text(row))
    ordered = sorted(found.values(), key=_attention_order)[:most]
    return [plain_value(entry | {"rank": rank}) for rank, entry in enumerate(ordered, start=1)]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _attention(feature: str) -> dict[str, Any]:
    return {
        "feature": feature,
        "severity": None,
        "affected_users": None,
        "risk_probability": None,
        "expected_users_affected": None,
        "reasons": [],
    }


def _attention_order(entry: Mapping[str, Any]) -> tuple[int, float, float, float, str]:
    return (
        -severity_level(entry["severity"]),
        -float(entry["affected_users"] or 0),
        -float(entry["expected_users_affected"] or 0),
        -float(entry["risk_probability"] or 0),
        entry["feature"],
    )


def _largest(a: Any, b: Any) -> int | None:
    known = [int(v) for v in (a, b) if v is not None and not pd.isna(v)]
    return max(known, default=None)


def _risk_text(row: Mapping[str, Any]) -> str:
    causes = [str(reason["words"]) for reason in json.loads(row.get("reasons") or "[]")]
    why = f": {'; '.join(causes)}" if causes else ""
    horizon = row.get("horizon_days")
    within = f" within {int(horizon)} days" if horizon is not None and not pd.isna(horizon) else ""
    return f"risk of degradation{within} {100 * float(row['risk_probability']):.0f} %{why}"
