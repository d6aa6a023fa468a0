"""Reads the result files of batches: one line for each request, in OpenAI's format."""

import json
from collections.abc import Mapping
from typing import Any

from editctl.chat.answers import completion_of, mapping, words_of
from editctl.chat.protocol import refusal
from editctl.errors import EditctlError
from editctl.interfaces import CallFailed, Completion, TryAgain

Result = Completion | CallFailed | TryAgain

_NOT_ANSWERED = ("batch_expired", "batch_cancelled")


def read_result(line: bytes, teacher: str) -> tuple[str, Result] | None:
    """The name of a request and what came of it, by the same rules as for a single call.

    None for a request that the provider did not get to. Raises ValueError for a line that says nothing.
    """
    try:
        entry = mapping(json.loads(line))
    except RecursionError as error:
        raise ValueError("too deep") from error
    name, response, error_said = entry.get("custom_id"), mapping(entry.get("response")), entry.get("error")
    if not isinstance(name, str) or not (response or error_said):
        raise ValueError("no custom_id, or neither response nor error")
    if mapping(error_said).get("code") in _NOT_ANSWERED:
        return None
    return name, _result(response, error_said, teacher)


def _result(response: Mapping[str, Any], error: Any, teacher: str) -> Result:
    body, status = mapping(response.get("body")), response.get("status_code")
    if status == 200 or (status is None and "choices" in body):
        try:
            return completion_of(body, teacher)
        except EditctlError as fault:
            return _of_one(fault)
    words = " ".join(filter(None, (words_of(body.get("error", body)), words_of(error))))
    # Errors without a status are the provider's own: time that ran out, a machine that failed.
    return _of_one(refusal(teacher, status if isinstance(status, int) else 500, words, {}))


def _of_one(error: EditctlError) -> CallFailed | TryAgain:
    """What would stop a run is here the failure of one call: the others have been answered."""
    return error if isinstance(error, CallFailed | TryAgain) else CallFailed("provider-error", str(error))
