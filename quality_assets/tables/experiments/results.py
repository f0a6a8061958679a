"""What each arm did to each metric: what people did is read in one pass, and compared arm by arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np

from quality_assets.contracts.experiment_files import ExperimentFile, MetricChoice
from quality_assets.contracts.metrics import QUANTILE_OF
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.impact import experiment_health as judge
from quality_assets.domain.impact import experiment_sql as sql
from quality_assets.domain.impact import experiment_words as words
from quality_assets.domain.impact.experiment_health import Finding
from quality_assets.domain.impact.experiments import (
    ArmResult,
    ArmValues,
    compare,
    guardrail_verdict,
    metric_verdict,
    past_p,
    with_fdr,
)
from quality_assets.domain.impact.metrics_by_name import BEFORE_DAYS, UserMetric
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.experiments.health import Exposed, metrics_of
from quality_assets.tables.experiments.inputs import Relation, completions, events_between, funnel_steps


@dataclass(frozen=True)
class _Measured:
    """A metric of an experiment by arm; of one that is only shown, its value by arm instead."""

    role: str
    choice: MetricChoice
    horizon_days: int
    arms: dict[str, ArmValues]
    shown: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass
class Result:
    """Rows of impact.experiment_results without the experiment's own columns, and what they come to."""

    rows: list[dict[str, Any]]
    spoken: list[words.Spoken]
    findings: list[Finding] = field(default_factory=list)
    state: str = "running"
    day: int = 0
    days: int = 0
    waits_until: date | None = None
    open_people: int = 0

    def sentence(self, grade: str, reasons: Sequence[str]) -> str:
        """The verdict of an experiment that is not void."""
        if self.state == "final":
            return words.final_sentence(self.spoken, grade, reasons)
        return words.running_sentence(self.spoken, self.day, self.days, self.waits_until, self.open_people)


def results_of(session: WarehouseSession, exposed: Exposed, file: ExperimentFile, as_of: date) -> Result:
    """The results of a declared experiment that somebody saw, with findings that only values tell."""
    measured = _measured(session, exposed, file, as_of)
    control = file.control
    final_on = file.end + timedelta(days=max(each.horizon_days for each in measured))
    is_final = as_of >= final_on
    result = Result([], [], state="final" if is_final else "running")
    if not is_final and as_of >= file.end:
        result.state, result.waits_until = "waiting", final_on
    result.day, result.days = (min(as_of, file.end) - file.start).days + 1, (file.end - file.start).days + 1
    primary = measured[0].arms
    result.open_people = sum(arm.open_ for arm in primary.values())
    others = [arm for arm in exposed.weights if arm != control]
    for role in ("primary", "secondary", "guardrail"):
        _add_role(result, [each for each in measured if each.role == role], control, others, is_final)
    result.findings = [*_past(measured, control, others), *judge.size_findings(_people(exposed), file.users, is_final)]
    result.findings += [
        Finding("metric", each.choice.name, "unknown", each.note) for each in measured if each.note
    ]  # fmt: skip
    return result


def _people(exposed: Exposed) -> int:
    return sum(exposed.counts.values())


def _add_role(result: Result, measured: Sequence[_Measured], control: str, others: Sequence[str], final: bool) -> None:
    """Add the rows of one role, whose tests are corrected for each other."""
    pairs = [(each, arm) for each in measured for arm in others]
    compared = with_fdr(
        [
            ArmResult() if each.shown else compare(each.arms[control], each.arms[arm])
            for each, arm in pairs
        ]
    )  # fmt: skip
    found = {(each.choice.name, arm): r for (each, arm), r in zip(pairs, compared, strict=True)}
    for each in measured:
        for arm in (control, *others):
            arm_result = found.get((each.choice.name, arm), ArmResult())
            verdict = None if arm == control else _verdict(each, arm_result, control, final)
            result.rows.append(_result_row(each, arm, arm == control, arm_result, verdict, final))
            if verdict is not None:
                result.spoken.append(
                    words.Spoken(
                        each.choice.metric, arm, each.role, each.arms[arm].mean, each.arms[control].mean, arm_result,
                        verdict,
                    )
                )  # fmt: skip


def _verdict(each: _Measured, result: ArmResult, control: str, is_final: bool) -> str:
    if each.shown:
        return "shown, not tested"
    if each.note:
        return "not measured"
    bad = each.choice.bad_direction
    if each.role == "guardrail":
        return guardrail_verdict(result, each.arms[control].mean, bad, each.choice.margin, is_final)
    return metric_verdict(result, bad, is_final)


def _result_row(
    each: _Measured, arm: str, is_control: bool, result: ArmResult, verdict: str | None, is_final: bool
) -> dict[str, Any]:
    values = each.arms[arm]
    is_known = not each.note and not each.shown and values.n > 0
    return {
        "metric": each.choice.name,
        "arm": arm,
        "role": each.role,
        "is_control": is_control,
        "n": values.n,
        "open": values.open_,
        "sum": float(values.value.sum()) if is_known else None,
        "sum_squares": float((values.value**2).sum()) if is_known else None,
        "denominator_sum": float(values.below.sum()) if is_known and values.below is not None else None,
        "mean": each.shown.get(arm) if each.shown else values.mean if is_known else None,
        "diff": result.diff,
        "se": result.se,
        "low": result.low,
        "high": result.high,
        "always_low": result.always_low,
        "always_high": result.always_high,
        "relative_diff": result.relative_diff,
        "p": result.p,
        "p_fdr": result.p_fdr,
        "margin": each.choice.margin if each.role == "guardrail" else None,
        "is_final": is_final,
        "is_cuped": result.is_cuped,
        "verdict": verdict,
    }


def _past(measured: Sequence[_Measured], control: str, others: Sequence[str]) -> list[Finding]:
    """Whether arms differed before anybody saw one, metric by metric; the least likely arm speaks."""
    pasts: dict[str, tuple[float | None, str]] = {}
    for each in measured:
        if each.shown or each.note:
            continue
        found = [(past_p(each.arms[control], each.arms[arm]), arm) for arm in others]
        known = [(p, arm) for p, arm in found if p is not None]
        if not known:
            pasts.setdefault(each.choice.name, (None, ""))
            continue
        p, arm = min(known)
        here, there = (float(each.arms[name].before.mean()) for name in (arm, control))
        pasts[each.choice.name] = (p, f"{here:.3g} in {arm}, {there:.3g} in {control} ({BEFORE_DAYS} days)")
    asked = sum(p is not None for p, _ in pasts.values()) * len(others)
    labels = {each.choice.name: each.choice.metric.label for each in measured}
    return [judge.past_finding(name, labels[name], p, text, asked) for name, (p, text) in pasts.items()]


def _measured(session: WarehouseSession, exposed: Exposed, file: ExperimentFile, as_of: date) -> list[_Measured]:
    first = file.start - timedelta(days=BEFORE_DAYS)
    events = events_between(session, first, as_of)
    needs_ends = any(choice.metric.kind == "completed" for _, choice in file.metrics.by_role())
    metrics = metrics_of(file, completions(session) if needs_ends else ())
    parameters: dict[str, Any] = {
        "experiment": exposed.name,
        "window_days": file.window_days,
        "start": file.start,
        "through": as_of,
    }
    values = _values(session, exposed, events, metrics, parameters)
    found = []
    for index, ((role, choice), metric) in enumerate(zip(file.metrics.by_role(), metrics, strict=True)):
        whole = values["exposed_on"] + np.timedelta64(metric.horizon_days, "D") <= np.datetime64(as_of)
        extra, shown, note = values, {}, _note(metric)
        if metric.metric.kind == "converted":
            converted = _converted(session, exposed, events, metric.metric.argument, parameters)
            note = note if converted is not None else f"No funnel is called {metric.metric.argument!r}."
            extra = {**values, f"value_{index}": np.zeros(len(whole)) if converted is None else converted}
        elif not metric.metric.is_tested:
            shown = _quantiles(session, exposed, events, QUANTILE_OF[choice.name], parameters)
        arms = {arm: _arm_values(extra, index, arm, whole) for arm in exposed.weights}
        found.append(_Measured(role, choice, metric.horizon_days, arms, shown, note))
    return found


def _note(metric: UserMetric) -> str:
    if metric.metric.kind == "completed" and not metric.events:
        return f"{metric.metric.argument} has no event that ends something, such as complete or finish."
    return ""


def _values(
    session: WarehouseSession,
    exposed: Exposed,
    events: Relation,
    metrics: Sequence[UserMetric],
    parameters: dict[str, Any],
) -> dict[str, Any]:
    query = sql.user_values_sql(exposed.included, events.sql, FEATURE_DESCRIPTIONS.qualified_name, metrics)
    wanted = {**parameters, "apdex_threshold_ms": session.settings.apdex_threshold_ms}
    for metric in metrics:
        wanted |= metric.parameters
    return session.connection.execute(query, wanted).fetchnumpy()


def _converted(
    session: WarehouseSession, exposed: Exposed, events: Relation, funnel: str, parameters: dict[str, Any]
) -> Floats | None:
    steps = funnel_steps(session, funnel)
    if steps is None:
        return None
    query = sql.conversions_sql(exposed.included, events.sql, steps.steps)
    wanted = {**parameters, **sql.step_parameters(steps.steps), "funnel_seconds": steps.window_s}
    return np.asarray(session.connection.execute(query, wanted).fetchnumpy()["converted"], float)


def _quantiles(
    session: WarehouseSession, exposed: Exposed, events: Relation, quantile: float, parameters: dict[str, Any]
) -> dict[str, float]:
    query = sql.quantiles_sql(exposed.included, events.sql, quantile)
    return dict(session.connection.execute(query, parameters).fetchall())


def _arm_values(values: dict[str, Any], index: int, arm: str, whole: Bools) -> ArmValues:
    is_arm = np.asarray(values["arm"] == arm, bool)
    rows = np.flatnonzero(is_arm & whole)

    def of(name: str) -> Floats | None:
        return np.asarray(values[name], float)[rows] if name in values else None

    zeros = np.zeros(len(rows))
    value, before = of(f"value_{index}"), of(f"before_{index}")
    return ArmValues(
        value=zeros if value is None else value,
        before=zeros if before is None else before,
        below=of(f"below_{index}"),
        below_before=of(f"below_before_{index}"),
        open_=int(is_arm.sum()) - len(rows),
    )
