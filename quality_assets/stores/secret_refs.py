"""Secrets by reference: `env:NAME` or `file:PATH`. What they say is looked up where it is used, and kept nowhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+")


class SecretMissingError(LookupError):
    """A reference leads to no secret; the message names the reference, never what is there."""


def is_reference(text: str) -> bool:
    """Whether a text is a reference to a secret, and not the secret itself."""
    return _REFERENCE.fullmatch(text) is not None


def secret_of(reference: str) -> str:
    """What a reference leads to, without blanks around it. Raises SecretMissingError where there is nothing."""
    if not is_reference(reference):
        raise SecretMissingError("a secret is given as env:NAME or file:PATH, not as itself")
    kind, _, name = reference.partition(":")
    if kind == "env":
        found = os.environ.get(name, "").strip()
        if not found:
            raise SecretMissingError(f"the environment variable {name} is not set where this runs")
        return found
    try:
        found = Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SecretMissingError(f"the secret file {name} cannot be read: {why}") from None
    if not found:
        raise SecretMissingError(f"the secret file {name} is empty")
    return found
