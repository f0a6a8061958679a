"""Values that are one slip of the hand from others: an edit of one letter, or two neighbours swapped."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

LEAST_LENGTH, MOST_LENGTH = 4, 60
_LEAST_CUT, _LEAST_LOST = 2, 2
_LEAST_LETTERS = 3
_RUN = re.compile(r"[^\W_]+")


def deletions(value: str) -> Iterator[str]:
    """The value without each of its characters."""
    for index in range(len(value)):
        yield value[:index] + value[index + 1 :]


def changed_part(one: str, other: str) -> tuple[str, str]:
    """What stands in each between what both begin and end with."""
    shorter = min(len(one), len(other))
    start = 0
    while start < shorter and one[start] == other[start]:
        start += 1
    end, most = 0, shorter - start
    while end < most and one[-1 - end] == other[-1 - end]:
        end += 1
    return one[start : len(one) - end], other[start : len(other) - end]


def is_slip(value: str, of: str) -> bool:
    """Whether `value` is one edit from `of` within a word of letters: numbers and single letters are codes."""
    if value == of:
        return False
    if value.casefold() == of.casefold():
        return True
    here, there = changed_part(value, of)
    is_swap = len(here) == 2 and here == there[::-1]
    if not is_swap and max(len(here), len(there)) > 1:
        return False
    if any(character.isdigit() for character in there) or (here.isdigit() and not there):
        return False
    # One and many of a thing.
    if here + there in ("s", "S") and _ends_word(value if here else of, here + there, of if here else value):
        return False
    return _edited_word_is_long(value, of)


def _ends_word(longer: str, letter: str, shorter: str) -> bool:
    """Whether what makes one text longer than another is the last letter of a word."""
    start = 0
    while start < len(shorter) and longer[start] == shorter[start]:
        start += 1
    # Behind a doubled letter it cannot be told which of the two came in.
    after = longer[start + 1 : start + 2]
    return longer[start] == letter and not after.isalnum()


def _edited_word_is_long(value: str, of: str) -> bool:
    """Whether the word that the edit falls into, as it should be, has letters enough to tell."""
    start = 0
    while start < min(len(value), len(of)) and value[start] == of[start]:
        start += 1
    begin, end = start, start
    while begin > 0 and of[begin - 1].isalnum():
        begin -= 1
    while end < len(of) and of[end].isalnum():
        end += 1
    return _is_long_word(of[begin:end])


def _is_long_word(word: str) -> bool:
    if word.isalpha():
        return len(word) >= _LEAST_LETTERS
    return sum(c.isalpha() for c in word) >= _LEAST_LETTERS and not any(c.isdigit() for c in word)


def _telling_deletions(value: str) -> Iterator[str]:
    """The value without each of the characters within or right behind a word long enough: no edit elsewhere is a slip.

    Names with a number in them, such as addresses, are then near to few others.
    """
    for run in _RUN.finditer(value):
        if _is_long_word(run[0]):
            for index in range(run.start(), min(run.end() + 1, len(value))):
                yield value[:index] + value[index + 1 :]


class SlipIndex:
    """Finds of which common value another one is a slip."""

    def __init__(self, common: Iterable[str]) -> None:
        self._common = {v for v in common if LEAST_LENGTH <= len(v) <= MOST_LENGTH}
        self._sorted = sorted(self._common)
        self._folded: dict[str, list[str]] = {}
        self._places: dict[str, list[str]] = {}
        for value in self._sorted:
            self._folded.setdefault(value.casefold(), []).append(value)
            for part in {value, *_telling_deletions(value)}:
                self._places.setdefault(part, []).append(value)

    def origins(self, value: str, of_words: bool = False) -> list[str]:
        """The common values that `value` is a slip of; of words, one with a capital may begin a sentence."""
        if not LEAST_LENGTH - 1 <= len(value) <= MOST_LENGTH or not self._common:
            return []
        parts = (value, *deletions(value))
        near = {}
        if not self._places.keys().isdisjoint(parts):
            near = dict.fromkeys(v for part in parts for v in self._places.get(part, ()))
        same = self._folded.get(value.casefold(), ())
        if of_words and any(value == each[:1].upper() + each[1:] for each in same):
            return []
        near |= dict.fromkeys(same)
        return [v for v in near if is_slip(value, v)]

    def wholes(self, value: str) -> list[str]:
        """The common values that `value` is the beginning of, cut off within a word: by one letter it is a slip."""
        if len(value) < _LEAST_CUT or not value[-1].isalpha():
            return []
        found = []
        for whole in self._sorted[bisect_right(self._sorted, value) :]:
            if not whole.startswith(value):
                break
            if len(whole) >= len(value) + _LEAST_LOST and whole[len(value)].isalpha():
                found.append(whole)
        return found
