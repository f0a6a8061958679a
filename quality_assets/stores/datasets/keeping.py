"""What is kept of each batch beside the store's rows: its profile, and some of its rows for the rules to learn from.

`<data root>/datasets/<dataset>/profiles/<batch>.parquet`, written whole and renamed into place, never changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.values import Block, Cells, numbers_of

KEPT_ROWS = 8_000
_META = b"profile"


class Keeper:
    """The profiles of one dataset."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "profiles"
        self._profiles: dict[str, Profile] = {}
        self._blocks: dict[str, Block] = {}

    def keep(self, profile: Profile, sample: Block) -> None:
        """Keep a batch that was judged."""
        self._folder.mkdir(parents=True, exist_ok=True)
        step = max(1, -(-sample.rows // KEPT_ROWS))
        arrays = {}
        for name, cells in sample.columns.items():
            codes = cells.codes[::step]
            indices = pa.array(np.where(codes >= 0, codes, 0), pa.int32(), mask=codes < 0)
            arrays[name] = pa.DictionaryArray.from_arrays(indices, pa.array(cells.uniques or [""], pa.string()))
        table = pa.table({name: array.dictionary_decode() for name, array in arrays.items()})
        told = json.dumps(profile.as_dict(), allow_nan=True).encode()
        target = self._path(profile.batch)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        pq.write_table(table.replace_schema_metadata({_META: told}), partial, compression="zstd")
        os.replace(partial, target)

    def profile(self, batch: str) -> Profile | None:
        """What was kept of a batch; None where nothing was. Read once: it never changes."""
        if batch not in self._profiles:
            path = self._path(batch)
            if not path.is_file():
                return None
            self._profiles[batch] = Profile.from_dict(json.loads(pq.read_schema(path).metadata[_META]))
        return self._profiles[batch]

    def blocks(self, profiles: Sequence[Profile]) -> list[Block]:
        """The rows that were kept of some batches. Those that the next ones have in common are not read again."""
        self._blocks = {p.batch: self._blocks.get(p.batch) or self.rows(p) for p in profiles}
        return list(self._blocks.values())

    def rows(self, profile: Profile) -> Block:
        """The rows that were kept of a batch, read as they were then."""
        table = pq.read_table(self._path(profile.batch))
        cells = {}
        for name in table.column_names:
            coded = table.column(name).combine_chunks().dictionary_encode()
            codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
            uniques = coded.dictionary.to_pylist()
            form = profile.forms[name]
            cells[name] = Cells(form, codes, uniques, numbers_of(uniques, form))
        return Block(table.num_rows, cells)

    def _path(self, batch: str) -> Path:
        return self._folder / f"{batch}.parquet"
