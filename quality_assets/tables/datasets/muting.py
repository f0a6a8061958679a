"""What people said is not a problem of a dataset: which rules are quiet, and alerts that end with that."""

from __future__ import annotations

from sqlalchemy import Connection, select

from quality_assets.clock import utc_now
from quality_assets.domain.quality.alerting import FALSE_RESOLUTIONS, RESOLVED
from quality_assets.domain.quality.datasets.examine import Asked
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.dataset_tables import DATASET_FINDING, DATASET_RULE
from quality_assets.stores.operations.store import fetch
from quality_assets.tables.alerts import resolve_fault

Kinds = frozenset[tuple[str, tuple[str, ...]]]
_ENDED = "Somebody said that it is not a problem."


def quiet(connection: Connection, dataset: str) -> tuple[frozenset[str], Kinds]:
    """The rules that are muted, and the kinds and columns of what they have found."""
    rules = muted_rules(connection, dataset)
    return rules, muted_kinds(connection, dataset, rules)


def muted_rules(connection: Connection, dataset: str) -> frozenset[str]:
    """The rules that people said are not a problem, by themselves or as the end of an alert."""
    muted = select(DATASET_RULE.c.rule_id).where(DATASET_RULE.c.dataset_id == dataset, DATASET_RULE.c.state == "muted")
    pinned = select(DATASET_RULE.c.rule_id).where(
        DATASET_RULE.c.dataset_id == dataset, DATASET_RULE.c.state == "pinned"
    )
    ended = select(ALERT.c.check_name).where(
        ALERT.c.kind == "dataset",
        ALERT.c.subject == dataset,
        ALERT.c.resolution.in_(FALSE_RESOLUTIONS),
        ALERT.c.check_name.not_in(pinned),
    )
    return frozenset([*connection.execute(muted).scalars(), *connection.execute(ended).scalars()]) - {""}


def muted_kinds(connection: Connection, dataset: str, rules: frozenset[str]) -> Kinds:
    """Kind and columns of the findings that muted rules have made: another rule would say the same again."""
    if not rules:
        return frozenset()
    asked = select(DATASET_FINDING.c.kind, DATASET_FINDING.c.columns).where(
        DATASET_FINDING.c.dataset_id == dataset, DATASET_FINDING.c.rule_id.in_(sorted(rules))
    )
    return frozenset((kind, tuple(columns)) for kind, columns in connection.execute(asked))


def end_quiet_alerts(connection: Connection, dataset: str) -> None:
    """Resolve the alerts of a dataset that nothing will look for any more: those of rules that are quiet."""
    rules, kinds = quiet(connection, dataset)
    if not rules:
        return
    asked, now = Asked(muted=rules, muted_kinds=kinds), utc_now()
    live = select(ALERT).where(ALERT.c.kind == "dataset", ALERT.c.subject == dataset, ALERT.c.status != RESOLVED)
    for row in fetch(connection, live):
        inside = row["check_name"].partition("(")[2].removesuffix(")")
        columns = tuple(inside.split(", ")) if inside else ()
        is_alike = ((row["evidence"] or {}).get("kind"), columns) in kinds
        if asked.is_quiet(row["check_name"]) or is_alike:
            resolve_fault(connection, row["fingerprint"], now, _ENDED)
