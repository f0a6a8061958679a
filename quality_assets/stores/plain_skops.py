"""skops files that hold dicts, lists, texts, numbers and arrays alone, read without skops: all that are written today.

skops, and scikit-learn and SciPy with it, take two seconds to import. What it wrote is a zip: an index, `schema.json`,
which names a loader for each part, and NumPy's own files for arrays.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

SCHEMA = "schema.json"
_PROTOCOL = 2
_TEXT = ("builtins", "str", "TypeNode")
# What state of format 2 held beside: all of it that is asked for are attributes.
_REGRESSION = ("sklearn.linear_model._logistic", "LogisticRegression", "ObjectNode")


class NotPlainError(ValueError):
    """A file holds something else beside, or is of another protocol: it takes skops to read it."""


def read_plain(content: bytes) -> Any:
    """What a file holds, as `skops.io.loads` gives it; a logistic regression of scikit-learn as its attributes.

    Raises NotPlainError where that takes skops, and what `zipfile`, `json` and `numpy` raise where it is damaged.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        root = json.loads(file.read(SCHEMA))
        if not isinstance(root, dict) or root.get("protocol") != _PROTOCOL:
            raise NotPlainError("of another protocol")
        return _value(root, file)


def is_plain(content: bytes) -> bool:
    """Whether `read_plain` reads these bytes."""
    try:
        read_plain(content)
    except (NotPlainError, zipfile.BadZipFile, ValueError, LookupError, TypeError, EOFError, NotImplementedError):
        return False
    return True


def _value(node: dict[str, Any], file: zipfile.ZipFile) -> Any:
    kind = _kind(node)
    if kind == ("builtins", "dict", "DictNode"):
        if any(_kind(each) != _TEXT for each in node["key_types"]["content"]):
            raise NotPlainError("keys that are no texts")
        return {name: _value(each, file) for name, each in node["content"].items()}
    if kind == ("builtins", "list", "ListNode"):
        return [_value(each, file) for each in node["content"]]
    if kind == _REGRESSION:
        return _value(node["content"], file)
    # skops calls every value of JSON a text.
    if kind == ("builtins", "str", "JsonNode"):
        return json.loads(node["content"])
    if kind == ("numpy", "ndarray", "NdArrayNode") and node["type"] == "numpy":
        return np.load(io.BytesIO(file.read(node["file"])), allow_pickle=False)
    raise NotPlainError(f"{'.'.join(map(str, kind))}")


def _kind(node: Any) -> tuple[Any, Any, Any]:
    if not isinstance(node, dict):
        raise NotPlainError("an index of another shape")
    return node.get("__module__"), node.get("__class__"), node.get("__loader__")
