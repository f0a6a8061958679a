"""What the server of models does with a request, whatever brought it: predict, explain, take an outcome, tell."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quality_assets.contracts.risk_inputs import RISK
from quality_assets.domain.models.learning.requests import problems_of
from quality_assets.domain.models.learning.shapley import NotExplainableError, explained
from quality_assets.serve.prediction.asked_rows import RefusedError, read_json, read_row, read_rows
from quality_assets.serve.prediction.canary_watch import CanaryWatch, take_back
from quality_assets.serve.prediction.prediction_log import PredictionLog
from quality_assets.serve.prediction.prediction_measures import Measures
from quality_assets.serve.prediction.shelf import InUse, NotServedError, Shelf
from quality_assets.settings import Settings
from quality_assets.stores.canaries import Canary
from quality_assets.stores.landing import PREDICTIONS_KEPT_DAYS
from quality_assets.stores.outcomes import OtherOutcomeError, Outcomes
from quality_assets.stores.request_ids import RequestIds, key_of

log = logging.getLogger("quality.prediction")

_RISK_SENTENCE = (
    "feature_risk is scored once a day for every feature, from its own past, and not by request: ask"
    " /api/v1/features of the dashboard, or the table ml.risk_scores."
)


class OutcomeBody(BaseModel):
    """What came of a prediction."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    request_id: str = Field(min_length=1, max_length=200, description="As the prediction gave it")
    y: float = Field(description="What it was, in the unit of the target")


class Service:
    """The models of one server, with their log and outcomes."""

    def __init__(self, settings: Settings, names: Sequence[str]) -> None:
        folder = settings.data_dir / "predictions"
        self.shelf = Shelf(settings, names)
        self.log = PredictionLog(settings.landing_dir)
        self.ids = RequestIds(key_of(folder), PREDICTIONS_KEPT_DAYS)
        self.outcomes = Outcomes(folder)
        self.measures = Measures()
        self._gauged: dict[str, tuple[str, int]] = {}
        self._canaries: dict[str, CanaryWatch] = {}

    def look(self) -> None:
        """See whether something was released."""
        self.shelf.look()
        for name in self.shelf.served():
            found = self.shelf.of(name)
            now = (found.release.version, found.release.seq)
            before = self._gauged.get(name)
            if before != now:
                if before is not None:
                    self.measures.release.remove(name, before[0])
                self._gauged[name] = now
            self.measures.release.labels(name, now[0]).set(now[1])
            self.measures.passed_over.labels(name).set(len(found.problems))

    def in_use(self, name: str) -> InUse:
        """The release that answers. Raises RefusedError: 404 where the model is unknown, 503 where none does."""
        try:
            return self.shelf.of(name)
        except KeyError:
            if name == RISK:
                raise RefusedError(501, _RISK_SENTENCE) from None
            known = ", ".join(self.shelf.names)
            raise RefusedError(404, f"There is no model {name[:80]!r} here; there are: {known}.") from None
        except NotServedError as error:
            raise RefusedError(503, f"Nothing answers for {name}: {error}.") from None

    def predict(self, name: str, body: bytes, key: bytes | None = None) -> dict[str, Any]:
        """The answer for one row. `key`: of what is asked for, by which a canary answers; else the row itself."""
        started = time.perf_counter()
        found = self.in_use(name)
        row = read_row(found.row_type, read_json(body))
        (answer,) = self._answers(found, [row], started, key)
        return answer

    def predict_batch(self, name: str, body: bytes) -> dict[str, Any]:
        """The answers for up to a thousand rows, in their order."""
        started = time.perf_counter()
        found = self.in_use(name)
        answers = self._answers(found, read_rows(found.row_type, read_json(body)), started)
        about = {"model": name, "version": found.release.version, "release_seq": found.release.seq}
        return {**about, "rows": len(answers), "predictions": answers}

    def _answers(
        self, found: InUse, rows: list[dict[str, Any]], started: float, key: bytes | None = None
    ) -> list[dict[str, Any]]:
        if found.canary is None:
            answers, roles = found.answers(rows), None
        else:
            answers, roles = self._with_canary(found, found.canary, rows, key)
        name = found.use_case.name
        outside = 0
        at = int(time.time() * 1e6)
        micros = (time.perf_counter() - started) * 1e6 / len(rows)
        for place, (row, each) in enumerate(zip(rows, answers, strict=True)):
            each["request_id"] = request_id = self.ids.new(name)
            outside += bool(each["outside_training"])
            role = "prod" if roles is None else roles[place][0]
            self.log.append(_logged(request_id, at, name, each, row, micros, role, each["release_seq"]))
            if roles is not None and (other := roles[place][1]) is not None:
                self.log.append(_logged(request_id, at, name, other, row, micros, "shadow", None))
        self.measures.predicted(name, len(rows), outside)
        if found.shadows:
            self._ask_shadows(found, rows, [each["request_id"] for each in answers], at)
        return answers

    def _with_canary(
        self, found: InUse, beside: tuple[Canary, InUse], rows: list[dict[str, Any]], key: bytes | None
    ) -> tuple[list[dict[str, Any]], list[tuple[str, dict[str, Any] | None]]]:
        """The answers, by the canary where it answers for the key; of each the role, and what the other would say.

        Where the canary fails the version in use answers, and nobody who asks sees it.
        """
        canary, other = beside
        began = time.thread_time()
        answers = found.answers(rows)
        took = (time.thread_time() - began) / len(rows)
        began = time.thread_time()
        try:
            own = other.answers(rows)
            if not all(isfinite(each["prediction"]) for each in own):
                raise ValueError("a prediction is no finite number")
        except Exception:
            log.exception("canary %s of %s failed", canary.version, found.use_case.name)
            self._watch_of(found, canary).asked(took, None)
            return answers, [("prod", None)] * len(rows)
        self._watch_of(found, canary).asked(took, (time.thread_time() - began) / len(rows))
        keys = [key if key is not None else orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for row in rows]
        is_own = [canary.answers(each) for each in keys]
        said = [b if mine else a for a, b, mine in zip(answers, own, is_own, strict=True)]
        roles: list[tuple[str, dict[str, Any] | None]] = [
            ("canary", a) if mine else ("prod", b) for a, b, mine in zip(answers, own, is_own, strict=True)
        ]
        return said, roles

    def _watch_of(self, found: InUse, canary: Canary) -> CanaryWatch:
        name = found.use_case.name
        watch = self._canaries.get(name)
        if watch is None or watch.canary != canary:
            watch = self._canaries[name] = CanaryWatch(canary, found.release.version)
        return watch

    def judge_canaries(self) -> None:
        """Take back what answers wrongly, slowly, or worse than what is in use."""
        for name in self.shelf.served():
            beside = self.shelf.of(name).canary
            if beside is None:
                self._canaries.pop(name, None)
                continue
            watch = self._watch_of(self.shelf.of(name), beside[0])
            reason = watch.why_not() or watch.why_worse(self.shelf.settings, name)
            if reason is not None:
                take_back(self.shelf.settings, name, beside[0], reason)
                self.shelf.look()

    def _ask_shadows(self, found: InUse, rows: list[dict[str, Any]], names: list[str], at: int) -> None:
        """Log what the shadows say of the same rows; where one fails, nobody who asked sees it."""
        for version, model in found.shadows:
            started = time.perf_counter()
            try:
                answers = model.answers(found.columns(rows))
            except Exception:
                log.exception("shadow %s of %s failed", version, found.use_case.name)
                continue
            micros = (time.perf_counter() - started) * 1e6 / len(rows)
            for row, each, name in zip(rows, answers, names, strict=True):
                each["version"] = version
                self.log.append(_logged(name, at, found.use_case.name, each, row, micros, "shadow", None))

    def explain(self, name: str, body: bytes) -> dict[str, Any]:
        """What each input contributes to the prediction of one row."""
        found = self.in_use(name)
        row = read_row(found.row_type, read_json(body))
        try:
            told = explained(found.model, found.columns([row]))
        except NotExplainableError as error:
            raise RefusedError(501, f"{name} cannot be explained: {error}.") from None
        return {**told, "y_hat": told["prediction"], "model": name, "version": found.release.version}

    def take_outcome(self, name: str, body: bytes) -> dict[str, Any]:
        """Keep what came of a prediction, once."""
        if name not in self.shelf.names:
            self.in_use(name)
        try:
            given = OutcomeBody.model_validate(read_json(body))
        except ValidationError as error:
            errors = [dict(each) for each in problems_of(error)]
            first = errors[0]
            raise RefusedError(422, f"{first['field']}: {first['why']} (given: {first['given']})", errors) from None
        if not self.ids.is_known(name, given.request_id):
            raise RefusedError(
                404,
                f"No prediction of {name} of the last {PREDICTIONS_KEPT_DAYS} days has this request_id; it is told"
                " with each.",
            )
        try:
            taken = self.outcomes.take(given.request_id, name, given.y)
        except OtherOutcomeError as error:
            raise RefusedError(409, f"{str(error).capitalize()}.") from None
        return {"request_id": given.request_id, "y": given.y, "model": name, "status": taken}

    def health(self, name: str) -> dict[str, Any]:
        """What answers, since when, and whether a newer release was passed over."""
        found = self.in_use(name)
        release = found.release
        return {
            "status": "ok" if not found.problems else "stale",
            "model": name,
            "version": release.version,
            "release_seq": release.seq,
            "since": f"{release.at.isoformat()}Z",
            "contract": found.use_case.contract.fingerprint,
            "inputs": list(found.model.inputs),
            "stale": bool(found.problems),
            "problems": list(found.problems),
            "coverage_last_30d": found.coverage_last_30d,
            "canary": {"version": found.canary[0].version, "share": found.canary[0].share} if found.canary else None,
            "shadows": [version for version, _ in found.shadows],
        }

    def all_health(self) -> Mapping[str, Any]:
        """The same of all models."""
        served = self.shelf.served()
        return {"status": "ok" if served else "waiting", "models": [self.health(name) for name in served]}

    def only_one(self) -> str:
        """The model that is meant where none is named. Raises RefusedError (404) where there are several."""
        names = self.shelf.names if len(self.shelf.names) == 1 else self.shelf.served()
        if len(names) == 1:
            return names[0]
        several = ", ".join(self.shelf.names)
        raise RefusedError(404, f"Name the model: /models/NAME/…, which is one of {several}.")


def _logged(
    request_id: str, at: int, name: str, told: Mapping[str, Any], row: dict[str, Any], micros: float, role: str,
    release_seq: int | None,
) -> tuple[Any, ...]:  # fmt: skip
    """A row of the log of predictions."""
    return (
        request_id, at, name, told["version"], release_seq, told["prediction"], told["p10"], told["p90"],
        told["interval_method"], told["interval_status"], told["known"], told["outside_training"], row, micros, role,
    )  # fmt: skip
