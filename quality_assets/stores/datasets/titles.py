"""Where the names of columns stand: people's exports have titles, dates and comments above them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from quality_assets.stores.readers.headers import MAX_TITLE_LINES

_COMMENT = "#"


def lines_above_names(rows: Sequence[Sequence[str | None]]) -> int:
    """How many of a table's first rows, as fields, stand above its names of columns.

    Those that are much shorter than most rows, comments of another width, and, where rows are filled up to one width,
    those that are almost empty. 0 where no width is usual, so that names which lack one or two are names.
    """
    below = rows[1:]
    if len(below) < 2:
        return 0
    width, alike = Counter(map(len, below)).most_common(1)[0]
    filled = sorted(map(_filled, below))[len(below) // 2]
    if width < 2 or filled < 2 or alike <= 0.5 * len(below):
        return 0
    for above, row in enumerate(rows[:MAX_TITLE_LINES]):
        is_short = _filled(row) <= max(1, filled // 2) if len(row) != width else 3 * _filled(row) <= filled
        is_comment = bool(row) and len(row) != width and (row[0] or "").lstrip().startswith(_COMMENT)
        if not (is_short or is_comment):
            return above if len(rows) - above > 1 else 0
    return 0


def lacks_first_name(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> bool:
    """Whether most rows have one field more than there are names: R writes names of rows so, under no name."""
    # A delimiter at the end of each line begins no further field.
    return sum(len(row) == len(names) + 1 and bool(row[-1]) for row in rows) > 0.5 * len(rows)


def _filled(row: Sequence[str | None]) -> int:
    return sum(bool(field and field.strip()) for field in row)
