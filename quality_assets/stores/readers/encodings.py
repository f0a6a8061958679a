"""Which encoding a text is in that is not UTF-8.

One of East Asia where its signs come in runs and are common there, else the one-byte encoding whose high bytes read as
letters within words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

# In the order of how common they are: the first of equals is taken.
CANDIDATES = ("cp1252", "cp850", "mac_roman", "cp1250", "cp437", "cp1251", "koi8_r", "cp866")
_MOST_BYTES = 1 << 20
# By encoding, the two bytes of its common signs: Hangul, kana and the kanji or hanzi of the first level. What reads as
# Korean reads as Chinese as well, which goes on beyond those bytes; Japanese of Unix is told by its kana.
_COMMON = {
    "cp949": rb"[\xb0-\xc8][\xa1-\xfe]",
    "euc_jp": rb"[\xa4\xa5\xb0-\xcf][\xa1-\xfe]|\xa1[\xa1-\xfe]",
    "cp932": rb"[\x82\x83\x88-\x97]|\x81[\x40-\x9f]",
    "gb18030": rb"[\xb0-\xd7][\xa1-\xfe]|[\xa1\xa3][\xa1-\xfe]",
    "cp950": rb"[\xa1\xa3-\xc6][\x40-\x7e\xa1-\xfe]",
}
_LEAST_COMMON, _LEAST_HANGUL, _LEAST_IN_RUNS, _LEAST_KANA = 0.85, 0.97, 0.8, 0.05
_RUN = re.compile(r"[^\x00-\x7f]{2,}")
_KANA = re.compile("[\u3041-\u30ff]")
_MOST_CUT = 4
_IN_WORDS = "’‘“”'-–—…·"
_WITHIN, _AT_END, _SIGN, _ODD = 2.0, 1.0, -0.5, -3.0


def guessed_encoding(head: bytes) -> str:
    """The encoding of bytes that are not UTF-8.

    A letter within a word speaks for an encoding, one of another case or a sign within a word against it.
    """
    if (found := _east_asian(head[:_MOST_BYTES])) is not None:
        return found
    scores = {name: _score(head[:_MOST_BYTES], name) for name in CANDIDATES}
    return max(CANDIDATES, key=lambda name: scores[name])


def _east_asian(head: bytes) -> str | None:
    """The encoding of two bytes a sign in which nearly all signs are common ones, and stand beside each other."""
    shares = {name: _common_share(head, name) for name in _COMMON}
    if shares["cp949"] >= _LEAST_HANGUL:
        return "cp949"
    shares.pop("cp949")
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _LEAST_COMMON else None


def _common_share(head: bytes, encoding: str) -> float:
    """Of the signs that are not ASCII, how many are common in an encoding; 0 where it reads the bytes not, or alone."""
    text = _decoded(head, encoding)
    signs = Counter(character for character in text if not character.isascii())
    total = signs.total()
    if not total or sum(map(len, _RUN.findall(text))) < _LEAST_IN_RUNS * total:
        return 0.0
    if encoding == "euc_jp" and len(_KANA.findall(text)) < _LEAST_KANA * total:
        return 0.0
    common = re.compile(_COMMON[encoding])
    return sum(n for sign, n in signs.items() if common.match(sign.encode(encoding))) / total


def _decoded(head: bytes, encoding: str) -> str:
    """The text of bytes whose last sign may be cut; nothing where they are none."""
    for cut in range(_MOST_CUT):
        try:
            return head[: len(head) - cut].decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(head) - cut - _MOST_CUT:
                break
    return ""


def reads_as(data: bytes, encoding: str) -> bool:
    """Whether bytes that are not ASCII read as letters and signs of an encoding, rather than as those of another.

    What is Windows-1252 scores 0.5 and more a letter, and -0.5 where signs are all there is; Chinese, Japanese and
    Korean, Cyrillic, Greek and Hebrew that are read as it score -0.8 and less.
    """
    return _score(data, encoding) > -0.65 * sum(byte > 127 for byte in data)


def _score(data: bytes, encoding: str) -> float:
    text = data.decode(encoding, "replace")
    score = 0.0
    for index, character in enumerate(text):
        if ord(character) < 128:
            continue
        before, after = text[index - 1 : index], text[index + 1 : index + 2]
        is_within = (before.isalpha(), after.isalpha())
        kind = unicodedata.category(character)
        if character == "\ufffd" or kind == "Cc":
            score += _ODD
        elif kind in ("Ll", "Lu") and _is_latin(character) and not before.isascii() and not after.isascii():
            # Where others have letters of their own alone, Latin has these among its plain ones.
            score += _ODD
        elif kind in ("Ll", "Lu"):
            score += _letter(character, before, after, any(is_within), all(is_within))
        else:
            score += _ODD if all(is_within) and character not in _IN_WORDS else _SIGN
    return score


def _letter(character: str, before: str, after: str, touches: bool, is_within: bool) -> float:
    # A capital behind a small letter, or a small one among capitals, is how a wrong encoding reads.
    if (character.isupper() and before.islower()) or (character.islower() and before.isupper() and after.isupper()):
        return _ODD
    rare = (
        -0.6 if unicodedata.name(character, "").startswith(("GREEK", "CYRILLIC")) and _is_latin(before + after) else 0.0
    )
    return (_WITHIN if is_within else _AT_END if touches else _SIGN) + 3 * rare


def _is_latin(text: str) -> bool:
    return any(c.isalpha() and (c.isascii() or unicodedata.name(c, "").startswith("LATIN")) for c in text)
