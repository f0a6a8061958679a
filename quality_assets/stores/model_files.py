"""Model files: where they lie, and plain state (`domain.models.state`) as bytes, by skops, which needs no pickle;
whoever reads one knows beforehand that the bytes are those that were saved.

skops is imported on first use because that takes a second: to write a file, and to read one of a format before.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quality_assets.stores import model_format_2, model_format_3, model_layout_1
from quality_assets.stores.plain_skops import SCHEMA, NotPlainError, read_plain

if TYPE_CHECKING:
    from quality_assets.domain.models.use_case import UseCase

MODEL_FILE = "model.skops"
REGISTRY_FILE = "registry.db"
WHAT_NEXT = "; the next `quality run` trains a new model"
"""How every sentence ends that says why a model cannot be used."""
FORMAT = 4
"""The format of the state that is written here; those before are read too, and given back in this one."""

_TRUSTED = ("sklearn.", "numpy.")


class UnreadableModelError(ValueError):
    """A file is not a model file, or not one that this version of the program can read; says why."""


def registry_folder(models_dir: Path, use_case: UseCase) -> Path:
    """Where the registry of a use case lies or is to be made: a folder of its name under `models_dir`.

    That of the first use case is in `models_dir` itself where it was made before use cases had folders, and stays
    there (docs/adr/0008).
    """
    is_in_place = use_case.is_first and (models_dir / REGISTRY_FILE).is_file()
    return models_dir if is_in_place else models_dir / use_case.name


def export_file(models_dir: Path, use_case: UseCase) -> Path:
    """The file of the model in use that scripts read."""
    return models_dir / f"{use_case.registry_name}.joblib"


def write_state(state: dict[str, Any]) -> bytes:
    """The bytes of a state."""
    import skops.io

    content: bytes = skops.io.dumps(state)
    return content


def read_state(content: bytes) -> Any:
    """The state that bytes hold, of this layout or of one before; whether it is a model's, `from_state` tells.

    Raises UnreadableModelError where they hold none, or types other than those of a state.
    """
    is_of_layout_1 = _is_of_layout_1(content)
    trusted: tuple[str, ...] = _TRUSTED
    try:
        if is_of_layout_1:
            content, trusted = model_layout_1.without_our_classes(content), (*_TRUSTED, *model_layout_1.TRUSTED)
        state = _construct(content, trusted)
        state = model_layout_1.plain_state(state) if is_of_layout_1 else state
        return model_format_3.with_plain_trees(model_format_2.with_plain_regressions(state))
    except (UnreadableModelError, MemoryError):
        raise
    # What a file holds that other versions of scikit-learn or of this program wrote is not ours to foresee: a class
    # that is gone, an attribute that was renamed, an array cut short. To whoever asks for the model all is the same.
    except Exception as error:
        raise UnreadableModelError(f"its file cannot be read ({_in_short(error)})") from error


def is_model_file(content: bytes) -> bool:
    """Whether bytes look like a file that `read_state` reads, told from their index alone."""
    try:
        _is_of_layout_1(content)
    except UnreadableModelError:
        return False
    return True


def _is_of_layout_1(content: bytes) -> bool:
    """True for the first layout, False for the one of today; UnreadableModelError where it is neither."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            root = json.loads(file.read(SCHEMA))
        if model_layout_1.is_root(root):
            return True
        found = json.loads(root["content"]["format"]["content"])
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError, EOFError, NotImplementedError, zlib.error) as error:
        raise UnreadableModelError(f"its file is not a model file ({_in_short(error)})") from error
    if found not in (model_format_2.FORMAT, model_format_3.FORMAT, FORMAT):
        raise UnreadableModelError(f"its file has format {found!r}, and this version of the program reads {FORMAT}")
    return False


def _construct(content: bytes, trusted: tuple[str, ...]) -> Any:
    try:
        return read_plain(content)
    except NotPlainError:
        pass
    import skops.io

    types = skops.io.get_untrusted_types(data=content)
    foreign = [name for name in types if not name.startswith(trusted)]
    if foreign:
        raise UnreadableModelError(f"its file holds types that no model has ({', '.join(foreign)})")
    return skops.io.loads(content, trusted=types)


def _in_short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
