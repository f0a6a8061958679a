"""Names of predictions that prove themselves: an outcome is taken for what this root has predicted, and nothing else.

A name holds when and by which model it was given, and a keyed digest of that: no store of all predictions is asked when
an outcome comes weeks later, and none grows with the traffic.
"""

from __future__ import annotations

import secrets
import time
from hashlib import blake2b
from itertools import count
from pathlib import Path

from quality_assets.stores.files import made_secret

_KEY_BYTES = 32
_DIGEST_BYTES = 8
_DAY_MS = 86_400_000
_MOST_MODELS = 100


class RequestIds:
    """Gives names to predictions, and knows them again. `kept_days`: older ones are forgotten with their log."""

    def __init__(self, key: bytes, kept_days: int) -> None:
        self._key, self._kept_ms = key, kept_days * _DAY_MS
        # Two processes of one root give different names.
        self._process = secrets.token_hex(4)
        self._next = count()
        self._of_model: dict[str, blake2b] = {}

    def new(self, model: str) -> str:
        """The name of a prediction that is made now."""
        text = f"{int(time.time() * 1000):x}-{self._process}-{next(self._next):x}"
        return f"{text}-{self._digest(model, text)}"

    def is_known(self, model: str, request_id: str) -> bool:
        """Whether it was given here, to this model, and lately enough to be in the log."""
        text, _, digest = request_id.rpartition("-")
        if not secrets.compare_digest(digest.encode(), self._digest(model, text).encode()):
            return False
        return time.time() * 1000 - int(text.partition("-")[0], 16) <= self._kept_ms

    def _digest(self, model: str, text: str) -> str:
        started = self._of_model.get(model)
        if started is None:
            started = blake2b(f"{model} ".encode(errors="replace"), key=self._key, digest_size=_DIGEST_BYTES)
            # Names that people make up are not kept.
            if len(self._of_model) < _MOST_MODELS:
                self._of_model[model] = started
        digest = started.copy()
        digest.update(text.encode(errors="replace"))
        return digest.hexdigest()


def key_of(folder: Path) -> bytes:
    """The key of a root, made where there is none; readable by its owner alone."""
    path = folder / "request_ids.key"
    key = made_secret(path, secrets.token_bytes(_KEY_BYTES))
    if len(key) != _KEY_BYTES:
        raise ValueError(
            f"{path} is not a key of {_KEY_BYTES} bytes; remove it, and outcomes of older names are refused"
        )
    return key
