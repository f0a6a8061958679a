"""Model files of the first layout, whose index named the classes of the program, read as the plain state of today.

The names stand here as they were then, and nothing of that name needs to exist any more. This module may go, with its
tests and its call in `model_files`, once no model of that layout can score: with the next change of the model inputs,
or with a release that may have every root train anew. A champion of this layout then counts as one that cannot be
loaded, and the next `quality run` trains another.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

TRUSTED = ("datetime.date",)
"""What such a file holds beside scikit-learn's and numpy's own."""

_PACKAGE = "quality_assets"
_ROOT = "quality_assets.domain.risk.RiskModel"
_ESTIMATORS = {
    "quality_assets.domain.risk_models.Forest": "random_forest",
    "quality_assets.domain.risk_models.Boosting": "hist_gradient_boosting",
    "quality_assets.domain.risk_models.Logistic": "logistic_regression",
    "quality_assets.domain.risk_models.Persistence": "persistence",
    "quality_assets.domain.risk_models.FeatureBaseRate": "feature_base_rate",
    "quality_assets.domain.risk_models.EwmaChart": "ewma_chart",
}
_KINDS = {
    _ROOT: "model",
    "quality_assets.domain.risk_models.TargetModel": "target",
    "quality_assets.domain.risk_models.Sigmoid": "calibrator",
    "quality_assets.domain.risk_models.Imputer": "imputer",
    **_ESTIMATORS,
}


def is_root(node: Any) -> bool:
    """Whether the root of a skops index is a model of this layout."""
    return isinstance(node, dict) and _name(node) == _ROOT


def without_our_classes(content: bytes) -> bytes:
    """The same skops file with a dict of its attributes, and a `kind`, for each object of a class of ours.

    Whatever else of ours it names stays, and is then a foreign type.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "schema.json":
                root = json.loads(data)
                meta = {key: root[key] for key in ("protocol", "_skops_version")}
                data = json.dumps(_plain(root) | meta).encode()
            after.writestr(name, data)
    return out.getvalue()


def plain_state(found: dict[str, Any]) -> dict[str, Any]:
    """The state of format 2 of what such a file holds; KeyError or TypeError where something of it is missing."""
    model = _attributes(found, "model")
    return {
        "format": 2,
        "trained_through": model["trained_through"].isoformat(),
        "horizon_days": model["horizon_days"],
        "input_names": list(model["input_names"]),
        "base_rate": model["base_rate"],
        "notes": list(model["notes"]),
        "targets": {name: _target(model[name]) for name in ("any", "onset")},
    }


def is_export(path: Path) -> bool:
    """Whether a joblib file (as `ModelRegistry.export` writes) names our classes, so that it can no longer be read."""
    try:
        return _PACKAGE.encode() in zlib.decompress(path.read_bytes())
    except (OSError, zlib.error):
        return False


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    kind = _KINDS.get(_name(node)) if node.get("__loader__") == "ObjectNode" else None
    if kind is None:
        return {key: _plain(value) for key, value in node.items()}
    attributes: dict[str, Any] = _plain(node["content"])
    text = {"__class__": "str", "__module__": "builtins"}
    attributes["content"]["kind"] = {**text, "__loader__": "JsonNode", "content": json.dumps(kind), "is_json": True}
    attributes["key_types"]["content"].append({**text, "__loader__": "TypeNode"})
    return attributes


def _name(node: dict[str, Any]) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


def _attributes(found: dict[str, Any], *kinds: str) -> dict[str, Any]:
    if found["kind"] not in kinds:
        raise TypeError(f"{found['kind']} where {' or '.join(kinds)} was expected")
    return {key: value for key, value in found.items() if key != "kind"}


def _target(found: dict[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    target = _attributes(found, "target")
    return {
        "name": target["name"],
        **_fitted(target["estimator"], target["calibrator"]),
        "members": [_fitted(estimator, calibrator) for estimator, calibrator in target["members"]],
    }


def _fitted(estimator: dict[str, Any], calibrator: dict[str, Any]) -> dict[str, Any]:
    attributes = _attributes(estimator, *_ESTIMATORS.values())
    if "imputer" in attributes:
        attributes["imputer"] = _attributes(attributes["imputer"], "imputer")
    return {
        "estimator": {"kind": estimator["kind"], **attributes},
        "calibrator": _attributes(calibrator, "calibrator"),
    }
