"""Checkpoints of the detector: a file a day under `.detector/`, which is made again where it is deleted.

A file is a line of JSON, which says of what it is and where each array lies, and the bytes of the arrays.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quality_assets.stores.files import write_bytes_atomically

Arrays = Mapping[str, Mapping[str, NDArray[Any]]]
_ENDING = ".checkpoint"


@dataclass(frozen=True)
class CheckpointFile:
    """What a file says of itself: its day, of which inputs it was made, and the keys of each panel."""

    path: Path
    day: date
    inputs: str
    keys: Mapping[str, list[Any]]


def checkpoint_files(folder: Path) -> list[CheckpointFile]:
    """All that can be read, the newest day first."""
    found = [_head(path) for path in sorted(folder.glob(f"*{_ENDING}"), reverse=True)]
    return [each for each in found if each is not None]


def _head(path: Path) -> CheckpointFile | None:
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline())
        return CheckpointFile(path, date.fromisoformat(head["day"]), head["inputs"], head["keys"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def read_arrays(path: Path) -> dict[str, dict[str, NDArray[Any]]]:
    """The arrays of each panel by name. Raises OSError, ValueError or LookupError where the file is damaged."""
    with path.open("rb") as file:
        head, content = json.loads(file.readline()), file.read()
    out: dict[str, dict[str, NDArray[Any]]] = {}
    at = 0
    for panel, name, kind, shape in head["arrays"]:
        size = np.dtype(kind).itemsize * int(np.prod(shape))
        out.setdefault(panel, {})[name] = np.frombuffer(content[at : at + size], kind).reshape(shape)
        at += size
    if at != len(content):
        raise ValueError(f"{path.name} is {len(content)} bytes where {at} were expected")
    return out


def write_checkpoint(folder: Path, day: date, inputs: str, keys: Mapping[str, list[Any]], arrays: Arrays) -> None:
    """Write a day's file, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = [(panel, name, np.ascontiguousarray(each)) for panel, own in arrays.items() for name, each in own.items()]
    index = [(panel, name, each.dtype.str, each.shape) for panel, name, each in flat]
    head = {"day": day.isoformat(), "inputs": inputs, "keys": keys, "arrays": index}
    content = b"".join([json.dumps(head).encode(), b"\n", *(each.tobytes() for _, _, each in flat)])
    write_bytes_atomically(folder / f"{day}{_ENDING}", content)


def drop_checkpoints(folder: Path, kept: Collection[date]) -> None:
    """Remove the files of all days but these."""
    stems = {day.isoformat() for day in kept}
    for each in folder.glob(f"*{_ENDING}"):
        if each.stem not in stems:
            each.unlink(missing_ok=True)
