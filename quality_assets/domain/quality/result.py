"""What a check found, as one row of monitoring.check_results: the one place that makes results, whatever answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quality_assets.domain.quality.check import Answer, Check, Severity
from quality_assets.domain.wording import measure_texts, row_text

MAX_NAMED = 3
_STATUSES = {True: "passed", False: "failed", None: "unknown"}
_WORDS = {True: "Yes", False: "No", None: "Unknown"}


@dataclass(frozen=True)
class CheckResult:
    """What one check found in one partition (`partition_key` empty where there is none)."""

    asset: str
    check_name: str
    partition_key: str
    dimension: str
    status: str
    severity: Severity
    is_blocking: bool
    observed: float | None
    threshold: float | None
    unexpected_count: int | None
    description: str
    examples: str | None = None


def result_of(check: Check, answer: Answer, partition_key: str = "") -> CheckResult:
    """The answer to `check` as a result, with what was found in words."""
    examples = answer.examples if isinstance(answer.examples, str) else _as_json(answer)
    return CheckResult(
        asset=check.subject.name,
        check_name=check.name,
        partition_key=partition_key,
        dimension=check.dimension,
        status=_STATUSES[answer.is_passed],
        severity=answer.severity or check.severity,
        is_blocking=check.is_blocking if answer.is_blocking is None else answer.is_blocking,
        observed=answer.observed,
        threshold=answer.threshold,
        unexpected_count=answer.unexpected_count,
        description=answer.statement or _sentence(check, answer, examples),
        examples=examples,
    )


def kept_result(values: Mapping[str, Any]) -> CheckResult:
    """A result again, from its fields by name as they were kept."""
    return CheckResult(**values)


def _as_json(answer: Answer) -> str | None:
    return json.dumps(list(answer.examples), ensure_ascii=False) if answer.examples else None


def _without_full_stop(text: str) -> str:
    """What is named ends no sentence; a name of dots alone stays what it is."""
    return text.rstrip(".") or text


def _sentence(check: Check, answer: Answer, examples: str | None) -> str:
    """What was found, in words: of a no what is wrong and what to do about it."""
    if answer.why:
        text = f"{check.question} {_WORDS[answer.is_passed]}: {answer.why}"
        return f"{text.rstrip('.')}. {check.remedy}" if answer.is_passed is False else text
    if answer.is_passed:
        return f"{check.question} Yes."
    if answer.is_passed is None:
        return f"{check.question} Unknown: {check.needs}."
    seen, limit = measure_texts(answer.observed, answer.threshold, check.unit)
    is_measured = answer.observed is not None or answer.threshold is not None
    finding = check.finding if is_measured else check.finding_unmeasured or check.finding
    found = finding.format(observed=seen, threshold=limit) or f"{check.question} No"
    named = [_without_full_stop(row_text(item)) for item in json.loads(examples)[:MAX_NAMED]] if examples else []
    # Where offenders are what was counted, it can be said how many are not named.
    counted = answer.unexpected_count
    if named and counted is not None and answer.observed == counted > len(named):
        named.append(f"and {counted - len(named):,} more")
    return f"{found}{': ' if named else ''}{'; '.join(named)}. {check.remedy}".strip()
