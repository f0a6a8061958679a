"""When a batch fails: the thresholds that its owner set, for the batch that is judged and for what others would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quality_assets.contracts.sources.datasets import Thresholds
from quality_assets.domain.wording import measure_texts, plural


@dataclass(frozen=True)
class Measured:
    """What thresholds are held against: `alerts` is their number, `missing` the share of each column's cells."""

    score: float | None
    alerts: int
    rows: int
    missing: Mapping[str, float]


def failures(measured: Measured, thresholds: Thresholds) -> Iterator[str]:
    """The thresholds that a batch fails, in words."""
    score, alerts = measured.score, measured.alerts
    if thresholds.score is not None and score is not None and score < thresholds.score:
        yield f"its score is {score:.4f}, below {thresholds.score:g}"
    if thresholds.alerts is not None and alerts > thresholds.alerts:
        yield f"it raised {plural(alerts, 'alert')}; {plural(thresholds.alerts, 'is', 'are')} let pass"
    if thresholds.rows_at_least is not None and measured.rows < thresholds.rows_at_least:
        yield f"it has {measured.rows:,} rows; {thresholds.rows_at_least:,} are the least"
    if thresholds.missing_share is not None:
        for name, share in measured.missing.items():
            if share > thresholds.missing_share:
                seen, most = measure_texts(share, thresholds.missing_share, "fraction")
                yield f"{seen} of {name} are missing; {most} are let pass"


def what_if(batches: Sequence[tuple[Mapping[str, Any], Measured]], thresholds: Thresholds) -> dict[str, Any]:
    """What thresholds would have done to past batches: how many they fail, which, and why."""
    failing = [
        {"batch_id": batch["batch_id"], "batch": batch["name"], "reasons": reasons}
        for batch, measured in batches
        if (reasons := list(failures(measured, thresholds)))
    ]
    count = len(batches)
    last = "the last batch" if count == 1 else f"the last {count} batches"
    times = f"{len(failing)} of {last}" if count else "no batch: none was judged yet"
    return {"batches": count, "would_fail": len(failing), "failing": failing, "sentence": f"They fail {times}."}
