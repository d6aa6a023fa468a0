"""Opens what is read and written: hashed as it passes, decompressed by name, moved into place when whole.

Knows bytes and lines; knows no record and no stage.
"""

import contextlib
import errno
import glob
import hashlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from editctl.errors import EditctlError, InputError, UsageError
from editctl.hashing import HashedFile, HashingReader
from editctl.packing import packer, unpacked, unpacking_errors

STDIO = "-"
_AT_ONCE = 1 << 19
"""Bytes that a group of lines has at most, besides a line that is longer."""
PARTIAL = ".partial"
"""Ending of what an interrupted run keeps."""


class InputFile:
    """One input, unpacked by its name: a path, or `-` for stdin."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = "stdin" if path == STDIO else path
        self._file = _open_raw(path)
        self._hashing = HashingReader(self._file)
        self._bytes = unpacked(cast(BinaryIO, io.BufferedReader(self._hashing, 1 << 16)), path)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Number and text of each line, from 1; a byte order mark is dropped, every line ends in one newline.

        Raises:
            InputError: bytes that are no UTF-8 text or no whole archive.
        """
        number = 0
        try:
            for number, data in enumerate(self._bytes, 1):
                # Decoded line by line: a decoder over the whole stream reads ahead and would blame another line.
                yield self._decoded(number, data)
        except unpacking_errors(self.path) as error:
            raise InputError(f"can't be unpacked: {error}", file=self.name, line=number + 1) from error
        finally:
            self.close()

    def line_groups(self) -> Iterator[list[tuple[int, str]]]:
        """As `lines`, as many at a time as one read gives: what has come is never kept waiting for what has not.

        Raises:
            InputError: as `lines`.
        """
        number = 0
        begun: list[bytes] = []
        read1 = cast(Any, self._bytes).read1
        try:
            while data := read1(_AT_ONCE):
                begun.append(data)
                if b"\n" not in data:
                    continue
                *whole, rest = b"".join(begun).split(b"\n")
                begun = [rest]
                yield [self._decoded(at, line + b"\n") for at, line in enumerate(whole, number + 1)]
                number += len(whole)
            if last := b"".join(begun):
                yield [self._decoded(number + 1, last)]
        except unpacking_errors(self.path) as error:
            raise InputError(f"can't be unpacked: {error}", file=self.name, line=number + 1) from error
        finally:
            self.close()

    def _decoded(self, number: int, data: bytes) -> tuple[int, str]:
        try:
            line = data.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"is no UTF-8 text ({error.reason})", file=self.name, line=number) from error
        return number, line[:-2] + "\n" if line.endswith("\r\n") else line

    def read(self) -> bytes:
        """All bytes, unpacked. Raises InputError for what is no whole archive."""
        try:
            return self._bytes.read()
        except unpacking_errors(self.path) as error:
            raise InputError(f"can't be unpacked: {error}", file=self.name) from error
        finally:
            self.close()

    def close(self) -> None:
        """Give the file back; stdin stays open."""
        if self.path != STDIO:
            self._file.close()

    def sha256(self) -> str | None:
        """Hash of all bytes; None for a stream that was not read to its end."""
        if self._hashing.at_end:
            return self._hashing.sha256.hexdigest()
        self.close()
        return None if self.path == STDIO else sha256_of(Path(self.path))


def _open_raw(path: str) -> BinaryIO:
    if path == STDIO:
        if sys.stdin is None:
            raise UsageError("stdin is closed; name an input file")
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise InputError("no such file", file=path) from error
    except OSError as error:
        raise InputError(f"can't be opened: {error.strerror}", file=path) from error


def stdin_is_piped() -> bool:
    """True when a file argument that was left out can be read from stdin."""
    return sys.stdin is not None and not sys.stdin.isatty()


class OutputFile:
    """One output, written beside its place and moved in by `commit`.

    `-` (stdout), devices and named pipes are written as they stand and can't be undone. A link is followed: the file
    it leads to is replaced, not the link.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows = 0
        self.digest = hashlib.sha256()
        self.committed = False
        self.place = Path(os.path.realpath(path))
        """Where the rows end up, for an output that is no stream."""
        there = Path(path)  # not its real path: that of /dev/stdout may be no path at all
        self.is_stream = path == STDIO or (there.exists() and not there.is_file() and not there.is_dir())
        self._temporary: Path | None = None
        self._raw: Any = self._open_stream() if self.is_stream else self._open_beside()
        self._zip = packer(self._raw, path)

    def _open_stream(self) -> BinaryIO:
        if self.path != STDIO:
            with disk_errors(self.path):
                return cast(BinaryIO, HashedFile(Path(self.path).open("wb"), self.digest))
        if sys.stdout is None:
            raise UsageError("stdout is closed; name a file with -o")
        return sys.stdout.buffer

    def _open_beside(self) -> "HashedFile":
        if self.place.is_dir():
            raise UsageError(f"{self.path}: is a folder; name a file")
        if not self.place.parent.is_dir():
            raise UsageError(f"{self.path}: there is no folder {Path(self.path).parent}; make it first")
        temporary = self.place.with_name(f".{self.place.name}.{os.getpid()}.tmp")
        _sweep(self.place)
        try:
            opened = HashedFile(temporary.open("wb"), self.digest)
        except OSError as error:
            raise UsageError(f"{self.path}: can't be written: {error.strerror}; name another place") from error
        self._temporary = temporary
        return opened

    def write(self, line: str) -> None:
        """Append one line (given without its end)."""
        self.write_bytes(line.encode("utf-8") + b"\n")
        self.rows += 1

    def write_bytes(self, data: bytes) -> None:
        """Append bytes as they are; whoever writes them counts the rows."""
        with disk_errors(self.path):
            (self._zip or self._raw).write(data)
            if self.is_stream:
                self._raw.flush()
        if self.path == STDIO:
            self.digest.update(data)

    def commit(self) -> None:
        """Make the output stand at its place, durably."""
        with disk_errors(self.path):
            if self._zip is not None:
                self._zip.close()
            self._raw.flush()
            if self.path != STDIO:
                self._raw.close()
            if self._temporary is not None:
                self._temporary.replace(self.place)
                Path(self.path + PARTIAL).unlink(missing_ok=True)  # what an interrupted run had kept
        self.committed = True

    def abandon(self) -> None:
        """Drop what was written; what stood at the place before still stands there."""
        if self._temporary is not None and not self.committed:
            with contextlib.suppress(OSError):  # a full disk may be why it is abandoned
                self._raw.close()
            self._temporary.unlink(missing_ok=True)

    def set_aside(self) -> Path | None:
        """Keep what was written so far as NAME.partial (for an interrupted run); None when that is nothing."""
        if self._temporary is None or not self.rows or self.committed:
            self.abandon()
            return None
        place = Path(self.path + PARTIAL)
        with disk_errors(str(place)):
            if self._zip is not None:
                self._zip.close()
            self._raw.close()
            self._temporary.replace(place)
        self._temporary = None
        return place

    def sha256(self) -> str:
        """Hash of the bytes written so far."""
        return self.digest.hexdigest()

    def file_number(self) -> int:
        """Descriptor behind stdout."""
        return int(self._raw.fileno())


def hush() -> None:
    """The reader of our stdout went away (`| head`): what is still to be flushed goes nowhere, without a noise."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sweep(place: Path) -> None:
    """Remove what killed processes left beside an output. Raises UsageError where a living one is at work on it."""
    for left in place.parent.glob(f".{glob.escape(place.name)}.*.tmp"):
        number = left.name.removesuffix(".tmp").rpartition(".")[2]
        if not number.isdecimal():
            continue
        if is_alive(int(number)):
            raise UsageError(
                f"{place}: process {number} is writing it; wait for it or name another place (or remove {left.name}, "
                "where that process is none of ours)"
            )
        left.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Whether a process of this number lives."""
    if os.name != "posix":  # elsewhere signal 0 is a real one
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


class disk_errors(contextlib.AbstractContextManager[None]):
    """Turn a full disk and its like into one clear line; a closed pipe stays what it is."""

    def __init__(self, path: str) -> None:
        self.name = "stdout" if path == STDIO else path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            advice = "; free some space and run again" if error.errno == errno.ENOSPC else ""
            raise OutputError(f"{self.name}: can't be written: {error.strerror}{advice}") from error


class OutputError(EditctlError):
    """The output can't be written (a full disk, a lost mount)."""

    exit_code = 2


def write_text(path: Path, text: str) -> None:
    """Write a small file whole: beside its place, then moved in."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(str(path)):
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
