"""Judging batches: each is read, asked all that its past has taught, and what was found is written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from filelock import FileLock

from quality_assets.contracts.sources.datasets import Thresholds, cadence_hours
from quality_assets.domain.quality.datasets import examine
from quality_assets.domain.quality.datasets.detectors import times_span
from quality_assets.domain.quality.datasets.plugins import with_plugins
from quality_assets.domain.quality.datasets.profile import MOST_COUNTED, Profile, learnt_from
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.domain.quality.datasets.table_score import LEAST_PAST_TO_ALERT, Verdict
from quality_assets.domain.quality.datasets.thresholds import Measured, failures
from quality_assets.domain.quality.datasets.values import Block
from quality_assets.domain.wording import plural
from quality_assets.settings import Settings
from quality_assets.stores.datasets.keeping import Keeper
from quality_assets.stores.datasets.loaded import Loaded
from quality_assets.stores.datasets.loading import load_duckdb, load_file, scratch_database
from quality_assets.stores.datasets.plugin_files import Plugins, load_plugins
from quality_assets.stores.datasets.scanning import Scan, sampled_column
from quality_assets.stores.operations.store import Operations
from quality_assets.stores.readers.faults import FileRejected, FileWaits, verdict_on
from quality_assets.tables.datasets.batches import (
    Waiting,
    batch_id_of,
    batch_time,
    checked_batches,
    finish,
    forget,
    judged_hashes,
    sha256_of,
    start,
    waiting_files,
)
from quality_assets.tables.datasets.muting import quiet
from quality_assets.tables.datasets.plugin_runs import ask_plugins
from quality_assets.tables.datasets.registering import Registered
from quality_assets.tables.datasets.telling_of import tell_of_closed, tell_of_source


@dataclass(frozen=True)
class BatchResult:
    """What came of one batch. `status` is passed, failed, refused or waiting; `reasons` say why, but for the first."""

    dataset: str
    batch: str
    batch_id: str
    rows: int
    score: float | None
    dimensions: dict[str, float | None]
    findings: tuple[Finding, ...]
    status: str
    reasons: tuple[str, ...] = ()
    past_batches: int = 0
    refused_rows: int = 0
    encoding: str | None = None

    @property
    def alerts(self) -> tuple[Finding, ...]:
        """What a person must know."""
        return tuple(finding for finding in self.findings if finding.is_alert)

    @property
    def learning(self) -> str | None:
        """How far the past reaches, until it is enough to tell what is unusual."""
        short = self.past_batches < LEAST_PAST_TO_ALERT
        return f"learning, {self.past_batches} of {LEAST_PAST_TO_ALERT}" if short else None

    def as_dict(self) -> dict[str, Any]:
        """As scripts are given it."""
        return {
            "dataset": self.dataset,
            "batch": self.batch,
            "rows": self.rows,
            "score": self.score,
            "dimensions": dict(self.dimensions),
            "findings": [finding.as_dict() for finding in self.findings],
            "alerts": [alert_of(finding) for finding in self.alerts],
            "status": self.status,
            "reasons": list(self.reasons),
            "learning": self.learning,
            "refused_rows": self.refused_rows,
            "encoding": self.encoding,
            "batch_id": self.batch_id,
        }


def alert_of(finding: Finding) -> dict[str, Any]:
    """An alert as scripts are given it."""
    return {
        "kind": finding.kind,
        "columns": list(finding.columns),
        "severity": finding.severity,
        "count": finding.count,
        "sentence": finding.sentence,
    }


class _ChangedError(Exception):
    """A file holds other bytes than those that were hashed."""


@dataclass(frozen=True)
class _Judged:
    verdict: Verdict
    loaded: Loaded
    profile: Profile
    sample: Block
    made: examine.Plan
    extra: tuple[Finding, ...] = field(default=())

    @property
    def findings(self) -> tuple[Finding, ...]:
        return (*self.verdict.findings, *self.extra)


def check_file(settings: Settings, path: Path) -> BatchResult:
    """A file by itself, without a past; nothing is kept of it.

    What is found without a past fails by the score alone. Of checks that people wrote themselves no alert is let pass,
    as it is in a batch: they know what they ask, and what could not be asked is not known.
    """
    name, thresholds = path.stem or path.name, Thresholds(alerts=None)
    try:
        with scratch_database(settings) as (connection, scratch):
            loaded = load_file(connection, path, scratch)
            plugins = load_plugins(settings.data_dir / "checks").of(name)
            judged = _judge(connection, loaded, "", examine.Past(), examine.Asked(), plugins)
    except (FileRejected, FileWaits) as refusal:
        return _refused(name, path.name, "", refusal.reason)
    except (duckdb.Error, OSError, MemoryError) as error:
        return _refused(name, path.name, "", verdict_on(error).reason)
    result = _result(name, path.name, "", judged, thresholds, 0)
    own = sum(finding.is_alert and finding.kind == "custom" for finding in judged.findings)
    if not own:
        return result
    reason = f"checks of your own raised {plural(own, 'alert')}; none is let pass"
    return replace(result, status="failed", reasons=(*result.reasons, reason))


def _judge(
    connection: duckdb.DuckDBPyConnection, loaded: Loaded, batch_id: str, past: examine.Past, asked: examine.Asked,
    plugins: Plugins,
) -> _Judged:  # fmt: skip
    scan = Scan(connection, loaded, past.forms)
    sample = scan.sample
    made = examine.plan(sample, past, asked, scan.is_small)
    tally = examine.count(scan.blocks(), made, examine.clock_of(sample, asked))
    keys = examine.keys_to_count(sample, past, asked)
    repeats = {key: scan.repeats(key) for key in keys}
    rows = examine.Rows(
        loaded.rows, loaded.columns, scan.copied_rows(), repeats, loaded.refused_rows, loaded.refused_lines
    )
    verdict = examine.verdict(rows, sample, tally, made, past, asked)
    profile = examine.profile(batch_id, rows, sample, tally, made, verdict, asked)
    # What people ask themselves is nothing that is learnt: batches that break it teach as they would without it.
    own = ask_plugins(connection, loaded, sample, plugins, asked.muted, asked.keeps_examples)
    verdict = with_plugins(verdict, own, loaded.rows, len(loaded.columns))
    before = past.profiles[-1].columns if past.profiles else ()
    return _Judged(verdict, loaded, profile, sample, made, tuple(_noticed(loaded, before)))


def _noticed(loaded: Loaded, before: Sequence[str]) -> Iterator[Finding]:
    """What reading the file showed by itself; `before` are the columns that the past has."""
    if not loaded.has_names and loaded.columns != tuple(before):
        first, count = loaded.columns[0], len(loaded.columns)
        called = f"it is called {first}" if count == 1 else f"they are called {first} to {loaded.columns[-1]}"
        sentence = f"Its first line is a row, and none has the names of columns: {called}"
        yield Finding("schema", (), count, 1.0, sentence, "no_names")
    if loaded.renamed:
        names = ", ".join(repr(name) for name in loaded.renamed[:5])
        sentence = f"{plural(len(loaded.renamed), 'column')} came without a name that no other has ({names})"
        yield Finding("schema", (), len(loaded.renamed), len(loaded.renamed) / len(loaded.columns), sentence, "names")
    if loaded.lines_above:
        share = loaded.lines_above / (loaded.lines_above + loaded.rows + loaded.refused_rows)
        sentence = f"{plural(loaded.lines_above, 'line')} above the names of columns, passed over"
        yield Finding("schema", (), loaded.lines_above, share, sentence, "lines_above")
    if others := loaded.other_sheets:
        sentence = f"Its first table was read, and not {plural(len(others), 'other sheet')}: {', '.join(others[:5])}"
        share = len(others) / (len(others) + 1)
        yield Finding("schema", (), len(others), share, sentence, "sheets", severity="low")


def _result(dataset: str, name: str, batch_id: str, judged: _Judged, thresholds: Thresholds, past: int) -> BatchResult:
    verdict = judged.verdict
    reasons = tuple(_failed(judged, thresholds))
    return BatchResult(
        dataset, name, batch_id, judged.loaded.rows, verdict.score, dict(verdict.dimensions), judged.findings,
        "failed" if reasons else "passed", reasons, past, judged.loaded.refused_rows, judged.loaded.encoding,
    )  # fmt: skip


def _failed(judged: _Judged, thresholds: Thresholds) -> Iterator[str]:
    alerts = sum(finding.is_alert for finding in judged.findings)
    measured = Measured(judged.verdict.score, alerts, judged.loaded.rows, judged.profile.missing)
    yield from failures(measured, thresholds)


def _refused(dataset: str, name: str, batch_id: str, reason: str) -> BatchResult:
    return BatchResult(dataset, name, batch_id, 0, None, {}, (), "refused", (reason,))


def _still_written(dataset: str, name: str) -> BatchResult:
    reason = "it is still being written: it is judged once it is whole"
    return BatchResult(dataset, name, "", 0, None, {}, (), "waiting", (reason,))


def check_dataset(
    store: Operations, settings: Settings, dataset: Registered, by: str = "cli", run_id: str | None = None
) -> Iterator[BatchResult]:
    """Judge each batch of a dataset that was not judged yet, oldest first, and yield what came of it.

    A file that cannot be opened is refused for now, and told of. A batch that can be read later, once a disk has room,
    stays waiting and raises FileWaits; a file that is still being written waits too, and holds back no other.
    """
    folder = settings.data_dir / "datasets" / dataset.dataset_id
    folder.mkdir(parents=True, exist_ok=True)
    # Rules are learnt in the order of the batches: one process at a time judges a dataset.
    with FileLock(folder / ".lock"):
        keeper = Keeper(folder)
        if dataset.source.kind == "files":
            arrived = waiting_files(store, settings, dataset)
            # One file that nobody may open holds back no other.
            tell_of_closed(store, dataset, arrived.closed)
            for batch in _in_order(settings, arrived.waiting, dataset.source.time):
                yield _check_batch(store, settings, dataset, batch, keeper, by, run_id)
            for file in arrived.closed:
                yield _refused(dataset.dataset_id, file.name, "", file.reason)
            for name in arrived.unsettled:
                yield _still_written(dataset.dataset_id, name)
        else:
            try:
                yield from _check_state(store, settings, dataset, keeper, by, run_id)
            except FileRejected as refusal:
                # Nothing came that could be a batch: the last score stands, and somebody is told.
                tell_of_source(store, dataset, refusal.reason)
                yield _refused(dataset.dataset_id, "", "", refusal.reason)


def _in_order(settings: Settings, waiting: Sequence[Waiting], time_column: str | None) -> Sequence[Waiting]:
    """Batches by the first of their times where there is a column of times, else by name, as they are."""
    if time_column is None or len(waiting) < 2:
        return waiting
    times = {batch.batch_id: _first_time(settings, Path(batch.location), time_column) for batch in waiting}
    return sorted(waiting, key=lambda batch: times[batch.batch_id])


def _first_time(settings: Settings, path: Path, column: str) -> float:
    try:
        with scratch_database(settings) as (connection, scratch):
            cells = sampled_column(connection, load_file(connection, path, scratch), column)
    except (FileRejected, FileWaits, duckdb.Error, OSError):
        return np.inf
    if cells is None or np.isnan(cells.numbers).all():
        return np.inf
    span = times_span(cells)
    return float(np.nanmin(cells.numbers)) if span is None else span[0]


def _check_batch(
    store: Operations, settings: Settings, dataset: Registered, batch: Waiting, keeper: Keeper,
    by: str, run_id: str | None,
) -> BatchResult:  # fmt: skip
    start(store, dataset.dataset_id, batch, run_id, by)
    try:
        with scratch_database(settings) as (connection, scratch):
            loaded = _loaded(connection, dataset, Path(batch.location), scratch)
            return _check_loaded(store, settings, dataset, batch, keeper, connection, loaded)
    except (_ChangedError, FileRejected, FileWaits, duckdb.Error, OSError, MemoryError) as error:
        if not batch.is_unchanged():
            forget(store, batch.batch_id)
            return _still_written(dataset.dataset_id, batch.name)
        judgement = verdict_on(error)
        if isinstance(judgement, FileWaits):
            raise judgement from None
        finish(store, dataset, batch.batch_id, {"status": "refused", "reason": judgement.reason}, ())
        return _refused(dataset.dataset_id, batch.name, batch.batch_id, judgement.reason)


def _loaded(connection: duckdb.DuckDBPyConnection, dataset: Registered, path: Path, scratch: Path) -> Loaded:
    if dataset.source.table:
        return load_duckdb(connection, path, dataset.source.table)
    return load_file(connection, path, scratch)


def _check_loaded(
    store: Operations, settings: Settings, dataset: Registered, batch: Waiting, keeper: Keeper,
    connection: duckdb.DuckDBPyConnection, loaded: Loaded,
) -> BatchResult:  # fmt: skip
    source = dataset.source
    every = [p for b in checked_batches(store, dataset.dataset_id) if (p := keeper.profile(b)) is not None and p.rows]
    teaching = learnt_from(every)
    ends = [p.last_time for p in every if p.last_time is not None]
    past = examine.Past(teaching, keeper.blocks(teaching), ends, learnt_from(every, MOST_COUNTED))
    cadence = cadence_hours(source.cadence) if source.cadence else None
    with store.read() as reading:
        asked = examine.Asked(
            source.key, source.time, cadence, *quiet(reading, dataset.dataset_id), source.keep_examples
        )
    plugins = load_plugins(settings.data_dir / "checks").of(dataset.dataset_id)
    judged = _judge(connection, loaded, batch.batch_id, past, asked, plugins)
    if not batch.is_unchanged():
        raise _ChangedError
    keeper.keep(judged.profile, judged.sample)
    result = _result(dataset.dataset_id, batch.name, batch.batch_id, judged, source.thresholds, len(teaching))
    finish(store, dataset, batch.batch_id, _values(result, judged, every), result.findings)
    return result


def _values(result: BatchResult, judged: _Judged, past: Sequence[Profile]) -> dict[str, Any]:
    """What the store keeps of a batch that was judged."""
    scores = [p.score for p in past[-30:] if p.score is not None]
    usual = np.quantile(scores, (0.05, 0.95)).tolist() if len(scores) >= LEAST_PAST_TO_ALERT else (None, None)
    return {
        "status": "checked",
        "reason": "; ".join(result.reasons) or None,
        "rows": result.rows,
        "refused_rows": result.refused_rows,
        "encoding": result.encoding,
        "columns": list(judged.loaded.columns),
        "score": result.score,
        "dimensions": result.dimensions,
        "usual_low": usual[0],
        "usual_high": usual[1],
        "worst_finding": result.findings[0].sentence if result.findings else None,
        "batch_time": batch_time(judged.profile),
        "details": {
            "outcome": result.status, "learning": result.learning, "format": judged.loaded.file_format,
            "rules": len(judged.made.rules.alive), "summary": judged.profile.summary,
        },
    }  # fmt: skip


def _check_state(
    store: Operations, settings: Settings, dataset: Registered, keeper: Keeper, by: str, run_id: str | None
) -> Iterator[BatchResult]:
    """The present state of a table or of a query's result, as one batch, unless it is as it was."""
    from quality_assets.tables.datasets.present_state import state_file

    with state_file(settings, dataset) as (path, name):
        sha256 = sha256_of(path)
        tell_of_source(store, dataset, None)
        if sha256 in judged_hashes(store, dataset.dataset_id):
            return
        batch = Waiting(batch_id_of(dataset.dataset_id, sha256), name, str(path), sha256, path.stat().st_size)
        # Its rows are a file by now, whatever they came from.
        plain = replace(dataset, source=dataset.source.model_copy(update={"table": None}))
        yield _check_batch(store, settings, plain, batch, keeper, by, run_id)
