"""What is wrong with a YAML file that people write, in words that name the key and what is allowed there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

_WRITTEN_BY = {
    r"^[a-z][a-z0-9_]*$": "is not written in small letters, digits and underscores",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "is not written in letters, digits, _ . and -, no such sign first",
}


def unreadable(path: Path, error: Exception) -> str:
    """Why a file cannot be read as YAML at all, and how to mend it where that shows."""
    said = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())
    said += "; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else ""
    said += "; YAML indents by spaces, not by tabs" if _is_at_tab(path, error) else ""
    return f"cannot be read as YAML: {said}"


def _is_at_tab(path: Path, error: Exception) -> bool:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return False
    lines = path.read_text(encoding="utf-8").splitlines()
    return mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]


def explained(error: ValidationError, model: type[BaseModel], *, may_quote: bool = True) -> Iterator[str]:
    """Each thing that is wrong with a file of a model, as `key: what`.

    may_quote: whether values may be shown; not where one may be a secret that somebody put in place of its reference.
    """
    for item in error.errors():
        # How pydantic tells which of several forms it tried is no key of the file.
        steps = [str(step) for step in item["loc"] if not str(step).startswith("function-")]
        key = ".".join("from" if step == "from_" else step for step in steps)
        said = _words(item, model, may_quote)
        yield f"{key}: {said}" if key else said


def _words(item: Any, model: type[BaseModel], may_quote: bool) -> str:
    context, given = item.get("ctx", {}), item["input"]
    match item["type"]:
        case "literal_error":
            known = str(context["expected"]).replace(" or ", ", ").replace(chr(39), "").split(", ")
            return f"{given!r} is not one of {', '.join(known)}{_meant(str(given), known)}"
        case "extra_forbidden":
            names = _fields_at(model, item["loc"])
            return f"is not one of {', '.join(names)}{_meant(str(item['loc'][-1]), names)}"
        case "tuple_type" | "list_type":
            return f"is a list, such as [{given}]" if may_quote and isinstance(given, str) else "is a list"
        case "dict_type" | "model_type":
            return "holds keys and their values" + (f", not {given!r}" if may_quote else "")
        case "string_pattern_mismatch" if context["pattern"] in _WRITTEN_BY:
            return f"{given!r} {_WRITTEN_BY[context['pattern']]}"
        case "value_error":
            return str(context["error"])
        case "missing":
            return "is missing"
    message = f"{item['msg'][0].lower()}{item['msg'][1:]}"
    return f"{message}, not {given!r}" if may_quote else message


def _meant(given: str, known: Sequence[str]) -> str:
    near = get_close_matches(given, known, 1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""


def _fields_at(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed where a key of `place` is not."""
    here: type[BaseModel] = model
    for step in place[:-1]:
        found = here.model_fields.get(str(step))
        inner = _model_in(found.annotation) if found is not None else None
        here = inner or here
    return [field.alias or name for name, field in here.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
