"""What is written in one way the world over: addresses of mail, pages and computers, and names made by machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from quality_assets.domain.arrays import Bools


@dataclass(frozen=True)
class KnownForm:
    """What a value can be that is written in one way the world over. `pattern` matches it whole."""

    name: str
    pattern: str


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
KNOWN_FORMS = (
    KnownForm("e-mail address", r"^[^@\s,;<>()\[\]]+@[^@\s,;.]+(?:\.[^@\s,;.]+)+$"),
    KnownForm("web address", r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/?#]+\S*$"),
    KnownForm("IP address", rf"^(?:{_OCTET}\.){{3}}{_OCTET}$|^[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$"),
    KnownForm("UUID", r"^\{?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?$"),
    *(KnownForm(f"hexadecimal number of {n} digits", rf"^(?:0x)?[0-9a-fA-F]{{{n}}}$") for n in (24, 32, 40, 64)),
)


TELEPHONE = KnownForm("telephone number", r"^[+(]?\d(?:[ ().\-/]{0,2}\d){6,14}$")
PLACEHOLDER = KnownForm(
    "placeholder",
    r"^(?i:tb[acd]|to[ -]?do|dummy|placeholder|lorem ipsum\b.*|\?{2,}|asdf\w*|to be "
    r"(?:added|announced|clarified|confirmed|decided|defined|determined|done|filled(?: in)?|named)"
    r"|(?:not|un)[ -]?(?:yet[ -])?(?:known|specified|available|assigned|given|set|provided|decided|defined)"
    r"[ -](?:yet|so far))[.!]?$",
)
"""What stands where something is to be filled in later. Of "unknown" and "not applicable" it is an answer as well."""
_WHOLE = KnownForm("as a whole number", r"^[-+]?\d+$")
_TRUTHS = ("true|false", "yes|no", "y|n", "on|off", "1|0", "t|f", "ja|nein", "oui|non")
WAYS: tuple[tuple[tuple[KnownForm, ...], tuple[KnownForm, ...]], ...] = (
    (
        (
            KnownForm("with a decimal point", r"^[-+]?\d+\.\d+$"),
            # Before three digits it may part thousands.
            KnownForm("with a decimal comma", r"^[-+]?\d+,(?:\d{1,2}|\d{4,})$"),
        ),
        (_WHOLE,),
    ),
    (tuple(KnownForm(f"as {words.replace('|', ' and ')}", f"^(?i:{words})$") for words in _TRUTHS), ()),
)
"""Ways of writing the same, of which a column keeps to one, and what is written alike in all of them."""


def matching(form: KnownForm, values: Sequence[str]) -> Bools:
    """Which values are written so."""
    return matches(values, form.pattern)


def matches(values: Sequence[str], pattern: str) -> Bools:
    """In which values a regular expression finds something."""
    found = pc.match_substring_regex(pa.array(values, pa.string()), pattern)
    return found.to_numpy(zero_copy_only=False).astype(bool)
