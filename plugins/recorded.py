"""Replays completions that were recorded before: offline, free, exact."""

from collections import defaultdict
from dataclasses import dataclass
from typing import get_args

from editctl.errors import UsageError
from editctl.fields import Fields
from editctl.files import STDIO, InputFile
from editctl.interfaces import CallFailed, Completion, Request
from editctl.jsonl import FieldError, Row, locate, read_rows
from editctl.options import option
from editctl.records import Step

STEPS = get_args(Step)


@dataclass(frozen=True)
class RecordedOptions:
    """Options of the recorded teacher."""

    name: str = option("recorded", "teacher name written into the dual chains")


class Recorded:
    """Replays `id, completion` rows with optional `step` and `sample`; several rows of both are attempts in order."""

    offline = True
    Options = RecordedOptions

    def __init__(self, argument: str, options: RecordedOptions) -> None:
        """`argument` is FILE,FILE,...

        Raises:
            UsageError: no file named.
            InputError: a missing file, a bad row.
        """
        paths = [path for path in argument.split(",") if path]
        if not paths:
            raise UsageError("teacher recorded needs files: -t recorded:FILE,FILE")
        self.name = options.name
        self.paths = tuple(path for path in paths if path != STDIO)
        """What was read, for the lineage."""
        self._recordings: dict[tuple[str, str, int], list[Completion]] = defaultdict(list)
        for path in paths:
            self._read(path)

    def _read(self, path: str) -> None:
        source = InputFile(path)
        for number, row in read_rows(source):
            with locate(source.name, number):
                self._add(row)

    def _add(self, row: Row) -> None:
        fields = Fields(row)
        step = fields.optional_text("step") or "explain"
        if step not in STEPS:
            raise FieldError("step", f"is {step!r}; one of {', '.join(STEPS)} is needed")
        completion = Completion(
            text=fields.text("completion"),
            reasoning=fields.optional_text("reasoning"),
            finish_reason=fields.optional_text("finish_reason") or "stop",
        )
        sample = fields.optional_whole("sample") or 0
        if sample < 0:
            raise FieldError("sample", "counts from 0")
        self._recordings[fields.text("id"), step, sample].append(completion)

    async def complete(self, request: Request) -> Completion:
        """As `complete_now`."""
        return self.complete_now(request)

    def complete_now(self, request: Request) -> Completion:
        """The recording for this attempt. Raises CallFailed where there is none."""
        recordings = self._recordings.get((request.question.id, request.step, request.sample), [])
        if request.attempt > len(recordings):
            sample = f", sample {request.sample}" if request.sample else ""
            missing = f"{request.question.id}, step {request.step}{sample}, attempt {request.attempt}"
            raise CallFailed("not-recorded", missing, answered=True)
        return recordings[request.attempt - 1]

    async def close(self) -> None:
        """Nothing to give back."""
