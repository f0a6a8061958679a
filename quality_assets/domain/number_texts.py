"""Texts as numbers by pandas, without the ones that end the process."""

from __future__ import annotations

import re

import pandas as pd

# pandas reads beyond its table of powers, and ends the process, at an exponent of ten digits and more; a sixteenth of
# all names of sixteen hexadecimal digits have an "e". No number that a double holds has one of more than three.
_ENDLESS = re.compile(r"\d\.?[eE][-+]?\d{6}")


def numbers_of_texts(values: pd.Series) -> pd.Series:
    """The numbers that texts are, NaN for what is none; infinite where one is written so that is beyond all."""
    if values.dtype.kind in "biufc":
        return pd.to_numeric(values, errors="coerce")
    texts = values.astype(object)
    endless = [isinstance(value, str) and len(value) > 7 and _ENDLESS.search(value) is not None for value in texts]
    if any(endless):
        texts = texts.mask(pd.Series(endless, index=values.index))
    return pd.to_numeric(texts, errors="coerce")
