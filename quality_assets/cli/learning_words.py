"""What a terminal is told of a trained version, in lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quality_assets.domain.models.learning.tabular import TabularUseCase
    from quality_assets.tables.learning import TrainedTable


def trained_lines(use_case: TabularUseCase, trained: TrainedTable, *, asked: bool) -> Iterator[str]:
    """What came of training: rows, what was set aside or refused, how good it is and beside what, and its release."""
    result = trained.result
    yield f"{use_case.name}: version {trained.version}, learnt from {result.model.rows:,} {use_case.contract.title}"
    for words in result.quarantine:
        yield f"  quarantined: {words}"
    for finding in result.findings:
        if finding.verdict != "passed":
            yield f"  {finding.verdict}: {finding.words}"
    frame = result.metrics
    for known, choice in result.choices.items():
        yield f"  {known}: {choice.candidate.name}. {choice.words}"
        own = frame[(frame["known"] == known) & (frame["metric"] == "r2")]
        for split in own["split"].unique():
            rows = own[own["split"] == split].sort_values("value", ascending=False)
            told = ", ".join(f"{c} {v:.3f}" for c, v in zip(rows["candidate"], rows["value"], strict=True))
            yield f"    R², {split}{' (headline)' if split == use_case.headline else ''}: {told}"
        more = frame[(frame["known"] == known) & frame["metric"].isin(["coverage", "r2_permuted"])]
        for metric, value, rows_ in zip(more["metric"], more["value"], more["rows"], strict=True):
            yield f"    {_MORE[metric]}: {value:.3f} ({rows_:,} rows)"
    yield _released(trained, asked)


_MORE = {
    "coverage": "share between p10 and p90 of later rows whose outcome was open",
    "r2_permuted": "R² of a target that belongs to other rows",
}


def _released(trained: TrainedTable, asked: bool) -> str:
    if trained.release is not None:
        return f"Released: {trained.decision.reason}"
    if asked or not trained.decision.wins:
        return f"Not released: {trained.decision.reason}"
    return f"Not released, which was not asked for (--promote): {trained.decision.reason}"


def account_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """What is told of a version."""
    yield f"{told['use_case']} version {told['version']} ({told['stage']}), made {told['created_at']}"
    if told["why_not"]:
        yield f"  Cannot be used: {told['why_not']}"
    through = f", through {told['trained_through']}" if told["trained_through"] else ""
    yield f"  learnt from {told['rows']:,} rows{through}; {told['quarantined_rows']:,} rows are quarantined"
    for name in ("quarantine", "refused", "reported"):
        for words in told[name]:
            yield f"  {'quarantined' if name == 'quarantine' else name}: {words}"
    for known, choice in told["chosen"].items():
        yield f"  {known}: {choice['candidate']}. {choice['words']}"
    numbers = ", ".join(f"{name} {value:.4f}" for name, value in told["headline"].items() if value is not None)
    yield f"  {told['headline_split']} (headline): {numbers}"
    yield f"  decision: {told['decision']}"
    reference = told["reference"]
    row = ", ".join(f"{name} {value}" for name, value in reference["row"].items())
    yield f"  reference row: {row}"
    yield f"  reference prediction: {reference['prediction']!r} (p10 {reference['p10']!r}, p90 {reference['p90']!r})"
    yield f"  contract {told['contract'][:12]}, data {told['data_fingerprint'][:12]}, file {told['sha256'][:12]}"
