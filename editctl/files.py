"""Opens what is read and written: hashed as it passes, decompressed by name, moved into place when whole.

Knows bytes and lines; knows no record and no stage.
"""

import contextlib
import errno
import gzip
import hashlib
import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, cast

from editctl.errors import EditctlError, InputError, UsageError

STDIO = "-"


class HashingReader(io.RawIOBase):
    """Passes bytes through and hashes them."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw
        self.sha256 = hashlib.sha256()
        self.at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.raw.read1(len(buffer)) if hasattr(self.raw, "read1") else self.raw.read(len(buffer))
        self.sha256.update(data)
        self.at_end = not data
        buffer[: len(data)] = data
        return len(data)


class InputFile:
    """One input: a path, or `-` for stdin. `text` yields its decoded lines."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = "stdin" if path == STDIO else path
        self._hashing = HashingReader(_open_raw(path))
        self.text = self._decode()

    def _decode(self) -> IO[str]:
        stream: Any = io.BufferedReader(self._hashing, 1 << 16)
        if self.path.endswith(".gz"):
            stream = gzip.GzipFile(fileobj=stream)
        elif self.path.endswith(".zst"):
            import zstandard

            stream = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(stream))
        return io.TextIOWrapper(stream, encoding="utf-8-sig", newline=None)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Number and text of each line, from 1.

        Raises:
            InputError: bytes that are no UTF-8 text or no whole archive.
        """
        number = 0
        try:
            for number, line in enumerate(self.text, 1):
                yield number, line
        except _unreadable(self.path) as error:
            raise InputError(f"can't be read as text: {error}", file=self.name, line=number + 1) from error

    def sha256(self) -> str | None:
        """Hash of all bytes; None for a stream that was not read to its end."""
        if not self._hashing.at_end and self.path != STDIO:
            while self._hashing.read(1 << 20):
                pass
        return self._hashing.sha256.hexdigest() if self._hashing.at_end else None


def _open_raw(path: str) -> BinaryIO:
    if path == STDIO:
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise InputError("no such file", file=path) from error
    except OSError as error:
        raise InputError(f"can't be opened: {error.strerror}", file=path) from error


def _unreadable(path: str) -> tuple[type[Exception], ...]:
    errors: tuple[type[Exception], ...] = (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile)
    if path.endswith(".zst"):
        import zstandard

        errors += (zstandard.ZstdError,)
    return errors


def stdin_is_piped() -> bool:
    """True when a file argument that was left out can be read from stdin."""
    return sys.stdin is not None and not sys.stdin.isatty()


class OutputFile:
    """One output, written beside its place and moved in by `commit`; `-` is stdout and is not undone."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows = 0
        self.digest = hashlib.sha256()
        self.committed = False
        self._temporary: Path | None = None
        self._zip: Any = None
        self._raw: Any = sys.stdout.buffer if path == STDIO else self._open_beside(Path(path))
        if path.endswith(".gz"):
            self._zip = gzip.GzipFile(fileobj=self._raw, mode="wb", mtime=0, filename="")
        elif path.endswith(".zst"):
            import zstandard

            self._zip = zstandard.ZstdCompressor().stream_writer(cast(Any, self._raw), closefd=False)

    def _open_beside(self, path: Path) -> "_HashedFile":
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; name a file")
        if not path.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.parent}; make it first")
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            return _HashedFile(self._temporary.open("wb"), self.digest)
        except OSError as error:
            raise UsageError(f"{path}: can't be written: {error.strerror}") from error

    def write(self, line: str) -> None:
        """Append one line (given without its end)."""
        data = line.encode("utf-8") + b"\n"
        with disk_errors(self.path):
            (self._zip or self._raw).write(data)
            if self._temporary is None:
                self.digest.update(data)
                self._raw.flush()
        self.rows += 1

    def commit(self) -> None:
        """Make the output stand at its place, durably."""
        with disk_errors(self.path):
            if self._zip is not None:
                self._zip.close()
            self._raw.flush()
            if self._temporary is not None:
                self._raw.close()
                self._temporary.replace(self.path)
        self.committed = True

    def abandon(self) -> None:
        """Drop what was written; what stood at the place before still stands there."""
        if self._temporary is not None and not self.committed:
            self._raw.close()
            self._temporary.unlink(missing_ok=True)

    def set_aside(self) -> Path | None:
        """Keep what was written so far as NAME.partial (for an interrupted run); None when that is nothing."""
        if self._temporary is None or not self.rows:
            self.abandon()
            return None
        place = Path(self.path + ".partial")
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


class _HashedFile(io.RawIOBase):
    """A binary file that hashes what is written, compressed or not."""

    def __init__(self, file: BinaryIO, digest: Any) -> None:
        self.file = file
        self.digest = digest

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        if not self.file.closed:
            with contextlib.suppress(OSError):
                os.fsync(self.file.fileno())
            self.file.close()

    def fileno(self) -> int:
        return self.file.fileno()

    def writable(self) -> bool:
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
