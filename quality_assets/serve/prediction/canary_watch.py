"""Whether a canary answers as it should: by errors, time and loss; where not, it is taken back and people are told."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from datetime import datetime

import numpy as np

from quality_assets.domain.models.learning.paired import paired_losses
from quality_assets.domain.wording import share_text
from quality_assets.settings import Settings
from quality_assets.stores.canaries import Canary, end_canary
from quality_assets.stores.paired_predictions import paired_predictions

log = logging.getLogger("quality.prediction")

LEAST_ASKED, LEAST_TIMED = 20, 100
MOST_ERROR_SHARE = 0.02
SLOWER_BY, LEAST_SLOW_S = 3.0, 0.005
LOSS_EVERY_S = 30.0
_KEPT = 2_000
KIND = "canary"
ACTOR = "server of models"


class CanaryWatch:
    """What is known of one canary since this server knows it. `asked` is called where requests are answered."""

    def __init__(self, canary: Canary, in_use: str) -> None:
        self.canary, self.in_use = canary, in_use
        self._times: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._asked, self._failed = 0, 0
        self._judged_loss_at = 0.0
        self._lock = threading.Lock()

    def asked(self, in_use_s: float, canary_s: float | None) -> None:
        """A request: CPU seconds of both a row; None where the canary failed."""
        with self._lock:
            self._asked += 1
            if canary_s is None:
                self._failed += 1
            else:
                self._times.append((in_use_s, canary_s))

    def why_not(self) -> str | None:
        """Why it should be taken back, by errors or time; None where nothing speaks against it."""
        with self._lock:
            asked, failed, times = self._asked, self._failed, list(self._times)
        if asked >= LEAST_ASKED and failed > MOST_ERROR_SHARE * asked:
            return f"{failed} of {asked} answers failed"
        if len(times) >= LEAST_TIMED:
            used, own = (float(np.quantile([each[side] for each in times], 0.99)) for side in (0, 1))
            if own > LEAST_SLOW_S and own > SLOWER_BY * used:
                return f"p99 is {own * 1e3:.1f} ms of CPU, and {used * 1e3:.1f} ms of version {self.in_use}"
        return None

    def why_worse(self, settings: Settings, name: str) -> str | None:
        """Why it should be taken back, by its loss on outcomes that are known; looked at twice a minute."""
        now = time.monotonic()
        if now - self._judged_loss_at < LOSS_EVERY_S:
            return None
        self._judged_loss_at = now
        since = datetime.fromisoformat(self.canary.since).replace(tzinfo=None)
        y, used, own = paired_predictions(settings, name, since, self.in_use, self.canary.version)
        found = paired_losses((y - used) ** 2, (y - own) ** 2)
        return found.words.replace("the shadow", "it") if found.verdict == "worse" else None


def take_back(settings: Settings, name: str, canary: Canary, reason: str) -> None:
    """End a canary, and raise an alert that says why."""
    from quality_assets.domain.quality.alerting import Fault
    from quality_assets.stores.operations.store import operations_of
    from quality_assets.tables.alerts import AlertBook

    if end_canary(settings, name, actor=ACTOR, reason=reason) is None:
        return
    log.error("version %s of %s was taken back as canary: %s", canary.version, name, reason)
    fault = Fault(
        kind=KIND,
        subject=f"ml.{name}_model",
        check_name=f"canary {canary.version}",
        title=f"Version {canary.version} of {name} was taken back",
        message=f"It answered {share_text(canary.share)} of the keys, and no longer does: {reason}.",
        severity="high",
        action=f"Open /models/{name}; the version in use answers everything again.",
        evaluation=str(canary.seq),
    )
    AlertBook(operations_of(settings)).raise_fault(fault)
