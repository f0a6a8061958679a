"""Which one-byte encoding a text is in: the one whose high bytes read as letters within words."""

from __future__ import annotations

import unicodedata

# In the order of how common they are: the first of equals is taken.
CANDIDATES = ("cp1252", "cp850", "mac_roman", "cp1250", "cp437", "cp1251", "koi8_r", "cp866")
_MOST_BYTES = 1 << 20
_WITHIN, _AT_END, _SIGN, _ODD = 2.0, 1.0, -0.5, -3.0


def guessed_encoding(head: bytes) -> str:
    """The encoding of bytes that are not UTF-8.

    A letter within a word speaks for an encoding, one of another case or a sign within a word against it.
    """
    scores = {name: _score(head[:_MOST_BYTES], name) for name in CANDIDATES}
    return max(CANDIDATES, key=lambda name: scores[name])


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
            score += _ODD if all(is_within) and character not in "’‘'-–·" else _SIGN
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
