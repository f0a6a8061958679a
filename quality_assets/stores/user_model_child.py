"""The process in which a model that somebody brought is read and asked: bounded in memory and time, and on its own.

Started by `user_models.py` with one request as JSON on its input; its output is one line of JSON: {"answer": …},
{"refused": sentence} or {"altered": sentence}. Limits are set before anything of the file is read: a forged one may
crash what reads it.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

MEMORY_BYTES = 2 << 30
CPU_S = 60


class AlteredError(ValueError):
    """What was kept is not what was saved: one sentence."""


class RefusedError(ValueError):
    """What was brought cannot be used: one sentence."""


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # It writes no file; what it answers goes through a pipe.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _content(request: dict[str, Any], what: str) -> bytes:
    content = Path(request[what]).read_bytes()
    if hashlib.sha256(content).hexdigest() != request[f"{what}_sha256"]:
        raise AlteredError(f"the {what} file is not the one that was saved; deploy it again")
    return content


def _model(request: dict[str, Any]) -> Any:
    import skops.io

    content = _content(request, "model")
    try:
        types = skops.io.get_untrusted_types(data=content)
    except Exception as error:
        raise RefusedError(f"the model file cannot be read ({_in_short(error)})") from error
    foreign = sorted(set(types) - set(request["trusted"]))
    if foreign:
        raise RefusedError(f"the model file holds types that are not trusted: {', '.join(foreign)[:500]}")
    try:
        return skops.io.loads(content, trusted=types)
    except MemoryError:
        raise
    except Exception as error:
        raise RefusedError(f"the model file cannot be read ({_in_short(error)})") from error


def _sample(request: dict[str, Any]) -> Any:
    import io

    import pandas as pd

    content = _content(request, "sample")
    try:
        if content.startswith(b"PAR1"):
            return pd.read_parquet(io.BytesIO(content))
        return pd.read_csv(io.BytesIO(content))
    except MemoryError:
        raise
    except Exception as error:
        raise RefusedError(f"the sample is neither CSV nor Parquet that can be read ({_in_short(error)})") from error


def _judge(request: dict[str, Any]) -> dict[str, Any]:
    """Learn the contract, and try the model on the sample."""
    from sklearn.base import is_classifier, is_regressor

    from quality_assets.domain.models.user_contract import BadSampleError, as_learnt, inputs_of, learn_contract
    from quality_assets.domain.models.user_contract import target_of as chosen_target
    from quality_assets.stores.user_model_asked import AskedModel, figures

    model, sample = _model(request), _sample(request)
    kind = request["kind"]
    if not (is_classifier(model) if kind == "classification" else is_regressor(model)):
        raise RefusedError(f"the file holds {type(model).__name__}, which is no model of kind {kind}")
    names = getattr(model, "feature_names_in_", None)
    wanted = None if names is None else [str(each) for each in names]
    count = int(getattr(model, "n_features_in_", 0))
    columns = [str(each) for each in sample.columns]
    sample.columns = columns
    try:
        target = chosen_target(columns, wanted, count, request["target"])
        inputs = inputs_of(columns, wanted, count, target)
        contract = learn_contract(sample, inputs, target, kind)
    except BadSampleError as error:
        raise RefusedError(str(error)) from None
    asked = AskedModel(model, contract)
    answers = asked.answers(as_learnt(sample, contract))
    return {
        "contract": contract,
        "learner": type(model.steps[-1][1] if hasattr(model, "steps") else model).__name__,
        "first": answers[0],
        "on_sample": None if target is None else figures(kind, sample[target], answers),
    }


def _predict(request: dict[str, Any]) -> list[dict[str, Any]]:
    import pandas as pd

    from quality_assets.domain.models.user_contract import as_learnt
    from quality_assets.stores.user_model_asked import AskedModel

    contract = request["contract"]
    return AskedModel(_model(request), contract).answers(as_learnt(pd.DataFrame(request["rows"]), contract))


def _drift(request: dict[str, Any]) -> dict[str, Any]:
    """What has moved in the last 30 days, and a look for each of them."""
    from datetime import date

    import numpy as np
    import pandas as pd

    from quality_assets.domain.models.learning.columns_of import taken
    from quality_assets.domain.models.learning.drift_replay import WINDOW_DAYS, looks
    from quality_assets.domain.models.learning.served_drift import DriftLimits, moved
    from quality_assets.domain.models.user_contract import as_learnt
    from quality_assets.stores.user_model_asked import AskedModel, columns_of

    contract = request["contract"]
    asked = AskedModel(_model(request), contract)
    before = columns_of(as_learnt(_sample(request), contract))
    now = columns_of(as_learnt(pd.DataFrame(request["rows"]), contract))
    answered, limits = asked.predictions(now)[0], DriftLimits(**request["limits"])
    days, last = [date.fromisoformat(each) for each in request["days"]], date.fromisoformat(request["last"])
    is_late = np.array([(last - day).days < WINDOW_DAYS for day in days])
    return {
        "inputs": moved(asked, before, taken(now, is_late), answered[is_late], limits),
        "days": looks(asked, before, now, answered, days, last, limits),
    }


_ACTS = {"judge": _judge, "predict": _predict, "drift": _drift}


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def main() -> None:
    """Do what is asked, once."""
    _limit()
    request = json.load(sys.stdin)
    try:
        told = {"answer": _ACTS[request["act"]](request)}
    except RefusedError as error:
        told = {"refused": str(error)}
    except AlteredError as error:
        told = {"altered": str(error)}
    except MemoryError:
        told = {"refused": f"it needs more than {MEMORY_BYTES >> 30} GB of memory"}
    # What a model that somebody brought makes of rows is not ours to foresee.
    except Exception as error:
        told = {"refused": f"the model cannot answer such rows ({_in_short(error)})"}
    from quality_assets.domain.plain import plain_value

    sys.stdout.write(f"{json.dumps(plain_value(told))}\n")


if __name__ == "__main__":
    main()
