"""One run of a command: its inputs, outputs and manifest, whole or not at all."""

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from editctl.errors import BudgetReached, EditctlError, InputError, UsageError
from editctl.files import STDIO, InputFile, OutputError, OutputFile, hush, sha256_of, stdin_is_piped
from editctl.manifest import Lineage, PipeMark, beside, save
from editctl.progress import Talk

_STARTED = time.time()


class PartialInputError(InputError):
    """The input is known to be unfinished."""


class Session:
    """Opens what a command reads and writes; on leaving, moves outputs into place and writes the manifest.

    A failing command leaves former outputs untouched; an interrupted one keeps its rows as NAME.partial.
    """

    def __init__(self, command: str, options: Mapping[str, Any], talk: Talk, *, allow_partial: bool = False) -> None:
        self.lineage = Lineage(command, {key: value for key, value in options.items() if value is not None})
        self.talk = talk
        self.allow_partial = allow_partial
        self._inputs: list[InputFile] = []
        self._noted = 0
        self._outputs: list[OutputFile] = []
        self._mark: PipeMark | None = None

    def note(self, **facts: Any) -> None:
        """Put what the stage has to say into the manifest."""
        self.lineage.facts.update(facts)

    def open_input(self, path: str | None) -> InputFile:
        """A file, or stdin for `-` and for None where something is piped in.

        Raises:
            UsageError: nothing is named and nothing is piped.
        """
        if path is None and not stdin_is_piped():
            raise UsageError(f"{self.lineage.command}: name an input file, or pipe rows in")
        source = InputFile(path or STDIO)
        self._inputs.append(source)
        return source

    def add_input(self, path: str) -> None:
        """Note a file that somebody else has read to its end."""
        self.lineage.add_input(path, sha256_of(Path(path)))

    def open_output(self, path: str | None) -> OutputFile:
        """A file, or stdout for None and `-`."""
        self._refuse_twice(path or STDIO)
        target = OutputFile(path or STDIO)
        if target.path == STDIO:
            self._mark = PipeMark(target.file_number())
            self._mark.leave()
        self._outputs.append(target)
        return target

    def _refuse_twice(self, path: str) -> None:
        place = os.path.realpath(path)
        if any(path == other.path or (path != STDIO and place == str(other.place)) for other in self._outputs):
            raise UsageError(f"{'stdout' if path == STDIO else path}: two outputs can't go to the same place")
        if path != STDIO and any(place == os.path.realpath(one.path) for one in self._inputs if one.path != STDIO):
            raise UsageError(f"{path}: is read by this command, and would be replaced; name another output")

    def finish_inputs(self) -> None:
        """Note the hashes of what was read.

        Raises:
            PartialInputError: an input is known to be partial, unless that is allowed.
        """
        for source in self._inputs[self._noted :]:
            self._noted += 1
            sha256 = source.sha256()
            made_by = self.lineage.add_input(source.name, sha256)
            unfinished = made_by is not None and made_by.get("status") != "complete"
            # Where only the first rows were wanted (--limit), the writer may well be at work still.
            if source.path == STDIO and sha256 is not None:
                unfinished = self._writer_died() or unfinished
            if unfinished and not self.allow_partial:
                raise PartialInputError(
                    "is partial: the command that made it did not finish; finish it, or use --allow-partial",
                    file=source.name,
                )

    @staticmethod
    def _writer_died() -> bool:
        mark = PipeMark(sys.stdin.fileno())
        died = mark.writer_died(_STARTED)
        if died:
            mark.take_away()
        return died

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._succeed()
                return
            if isinstance(error, BudgetReached) and self._outputs and self._outputs[0].rows:
                self._succeed("partial")
                return
            self._fail(error)
        finally:
            for source in self._inputs:
                source.close()
        if isinstance(error, BrokenPipeError):
            if self._mark is not None:
                self._mark.take_away()
            hush()
            raise SystemExit(0) from None

    def _succeed(self, status: str = "complete") -> None:
        try:
            self.finish_inputs()
            for target in self._outputs:
                target.commit()
        except BaseException as error:
            self._fail(error)
            raise
        self._save(status, self._outputs)

    def _fail(self, error: BaseException) -> None:
        """Drop what was written; rows that cost something (an interrupted run, a provider that gave up) are kept."""
        keep = not (isinstance(error, EditctlError) and error.exit_code == UsageError.exit_code)
        kept = [target for target in self._outputs if self._leave(target, keep)]
        self.lineage.facts.setdefault("error", " ".join(str(error).split())[:500] or type(error).__name__)
        self._save("partial", [target for target in self._outputs if target.path == STDIO or target in kept])

    def _leave(self, target: OutputFile, keep: bool) -> bool:
        """Set an unfinished output aside, or drop it; True where it was kept."""
        place = None
        with contextlib.suppress(OutputError):
            place = target.set_aside() if keep else None
        target.abandon()
        if place is not None:
            self.talk.warn(f"{target.rows} finished rows are kept in {place}")
        return place is not None

    def _save(self, status: str, targets: list[OutputFile]) -> None:
        outputs = [{"name": out.path, "sha256": out.sha256(), "rows": out.rows} for out in self._outputs]
        manifest = self.lineage.render(status, outputs)
        try:
            for target in targets:
                main = target.committed and target is self._outputs[0] and not target.is_stream
                save(manifest, target.sha256(), beside(Path(target.path)) if main else None)
            if self._mark is not None and status == "complete":
                self._mark.take_away()
        except (OSError, OutputError) as problem:
            self.talk.warn(f"the manifest can't be written ({problem}); set EDITCTL_STATE to a folder that can")


def talk_of(quiet: bool, verbose: bool, no_color: bool) -> Talk:
    """The voice for a command's flags."""
    return Talk(quiet=quiet, verbose=verbose, color=not no_color)


def names_or_stdin(names: list[str] | None) -> list[str]:
    """The sources named, or stdin. Raises UsageError where nothing is named and nothing is piped."""
    if not names and not stdin_is_piped():
        raise UsageError("name question files or toy:NAME, or pipe questions in")
    return names or [STDIO]


def load_task(name: str) -> Any:
    """A toy task by name."""
    from editctl import registry

    return registry.load("tasks", name)()
