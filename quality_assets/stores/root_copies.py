"""Which of a data root and its copies tells people: what is due in one is due in all that were copied from it.

A root remembers where it lies, in a file of its outbox that a copy takes along. Where it lies elsewhere now, it was
moved or restored, unless what it remembers is there still, and remembers the same.
"""

from __future__ import annotations

from pathlib import Path

from quality_assets.settings import Settings

_NAME = "root"
LET_IT_TELL = "`quality alerts send --from-here` lets this root tell as well"
"""What to do where a copy is to tell people too."""


def original_of(settings: Settings) -> Path | None:
    """The root that this one is a copy of, where that is there still; None where this one tells.

    A copy on another machine cannot be told from a root that was moved there.
    """
    own = settings.data_dir.resolve()
    told = _remembered(settings.outbox_dir)
    if told is None or told == own or _remembered(told / settings.outbox_dir.name) != told:
        return None
    # The same folder by another way, as where a container has mounted it.
    return None if told.samefile(own) else told


def copy_sentence(settings: Settings, original: Path) -> str:
    """That nothing goes out from a copy, and how it may."""
    return f"{settings.data_dir} is a copy of {original}, which tells people: nothing is told from here. {LET_IT_TELL}"


def remember_place(settings: Settings) -> None:
    """Let this root be one that tells, from where it lies now on."""
    own = settings.data_dir.resolve()
    if _remembered(settings.outbox_dir) != own:
        settings.outbox_dir.mkdir(parents=True, exist_ok=True)
        (settings.outbox_dir / _NAME).write_text(str(own), encoding="utf-8")


def _remembered(outbox: Path) -> Path | None:
    try:
        said = (outbox / _NAME).read_text(encoding="utf-8")
    except OSError:
        return None
    return Path(said) if said else None
