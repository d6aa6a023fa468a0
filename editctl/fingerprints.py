"""What tells a student's weights from others."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editctl.models import ADAPTER_FILE

_PIECE = 1 << 16
_PIECES = 64
"""Whole models take minutes to hash: a large file is read at so many places, of so many bytes each."""
_WEIGHTS = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.txt", "*.model", "*.py")
_LEFT_OUT = ("editctl.json", "generation_config.json", "trainer_state.json")
"""Files that change no text: they say how the student came to be, or what is never looked at."""


def identity(spec: str, model: Any = None) -> Mapping[str, Any]:
    """A student by content: a hash over its files and its base's, or the hub's revision where a model is loaded."""
    place = Path(spec)
    found: dict[str, Any] = {"name": place.resolve().name if place.is_dir() else spec}
    if place.is_dir():
        found["files"] = hash_of(place)
    base = _base_of(place)
    if base is not None:
        found["base"] = hash_of(Path(base)) if Path(base).is_dir() else base
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    revision = getattr(getattr(inner, "config", None), "_commit_hash", None)
    return {**found, "revision": revision} if revision else found


def _base_of(folder: Path) -> str | None:
    """What an adapter stands on."""
    place = folder / ADAPTER_FILE
    if not place.is_file():
        return None
    base = json.loads(place.read_text(encoding="utf-8")).get("base_model_name_or_path")
    return str(base) if base else None


def hash_of(folder: Path) -> str:
    """Hash of names, sizes and contents of the files that make a student; of large ones, pieces all over."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)}):
        if path.name in _LEFT_OUT or path.name.endswith("manifest.json"):
            continue
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        places = [0] if size <= _PIECE else [(size - _PIECE) * number // (_PIECES - 1) for number in range(_PIECES)]
        with path.open("rb") as file:
            for place in places:
                file.seek(place)
                digest.update(file.read(_PIECE))
    return digest.hexdigest()[:16]
