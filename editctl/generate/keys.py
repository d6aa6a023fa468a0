"""What makes two calls the same call: the key a completion has in the ledger."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from editctl.formats import COT
from editctl.interfaces import Identified, Request, Teacher
from editctl.manifest import redact


def key_of(teacher: Teacher, request: Request) -> bytes:
    """SHA-256 over who is asked, with which parameters and messages, for which sample and attempt.

    The question's id is no part of it: two questions of the same wording share their completions.
    """
    call = {
        **identity_of(teacher, request),
        "messages": [dict(message) for message in request.messages],
        "sample": request.sample,
        "attempt": request.attempt,
    }
    text = json.dumps(call, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).digest()


def identity_of(teacher: Teacher, request: Request) -> Mapping[str, Any]:
    """What the teacher says its answers depend on; for one that says nothing, its name, options and parameters."""
    if isinstance(teacher, Identified):
        return {"identity": teacher.identity(request)}
    options: Any = getattr(teacher, "options", None)
    return {
        "teacher": teacher.name,
        "options": redact(asdict(options)) if is_dataclass(options) and not isinstance(options, type) else {},
        "step": request.step,
        "mistake": request.mistake,
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
        # Left out where it says nothing new: completions of former runs keep their keys.
        **({} if request.format == COT else {"format": request.format}),
    }
