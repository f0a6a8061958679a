"""YAML whose scalars stay as they are written: `no` is Norway, `1.10` a version, and a key that comes twice an error.

YAML 1.1 makes booleans of yes, no, on and off, and numbers of what looks like one. The model of a source knows which
of its fields are numbers and dates.
"""

from __future__ import annotations

from typing import Any

import yaml

from quality_assets.contracts.yaml_text import SafeLoader

_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"


def _resolvers() -> dict[str, list[Any]]:
    known = yaml.SafeLoader.yaml_implicit_resolvers.items()
    return {first: [(tag, it) for tag, it in found if tag in (_NULL, _MERGE)] for first, found in known}


class _AsWritten(SafeLoader):
    """All plain scalars are text, but for those that are null."""

    yaml_implicit_resolvers = _resolvers()


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key is not a word", key.start_mark)
        if key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} comes twice", key.start_mark)
        seen.add(key.value)
    loader.flatten_mapping(node)
    # A key is what it says, null too.
    return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}


_AsWritten.add_constructor("tag:yaml.org,2002:map", _mapping)


def parsed(text: str) -> Any:
    """What a YAML text holds. Raises yaml.YAMLError, with line and column."""
    return yaml.load(text, _AsWritten)  # noqa: S506 - it is a safe loader
