"""Packs and unpacks streams by the ending of a file's name: .gz and .zst. Knows bytes only."""

import gzip
import io
import zlib
from typing import Any, BinaryIO, cast

_CHUNK = 1 << 16


def unpacked(stream: BinaryIO, name: str) -> BinaryIO:
    """The bytes behind a stream, which may hold several archives one after the other."""
    if name.endswith(".gz"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if name.endswith(".zst"):
        return cast(BinaryIO, io.BufferedReader(_ZstdReader(stream), _CHUNK))
    return stream


def unpacking_errors(name: str) -> tuple[type[Exception], ...]:
    """What reading an archive raises when it is none, or breaks off."""
    errors: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
    if name.endswith(".zst"):
        import zstandard

        errors += (zstandard.ZstdError,)
    return errors


def packer(raw: Any, name: str) -> Any:
    """A writer that packs into `raw`, which stays open when it is closed; None where the name asks for none.

    The same bytes in give the same bytes out: no time and no name is stored.
    """
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="")
    if name.endswith(".zst"):
        import zstandard

        return zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
    return None


class _ZstdReader(io.RawIOBase):
    """Unpacks zstandard frames; the library's own reader takes a frame that breaks off for a whole one."""

    def __init__(self, stream: BinaryIO) -> None:
        import zstandard

        self._stream = stream
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._rest = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            packed = self._rest or self._stream.read(_CHUNK)
            self._rest = b""
            if not packed:
                if self._frame is not None:
                    raise EOFError("the archive breaks off")
                return 0
            self._unpack(packed)
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _unpack(self, packed: bytes) -> None:
        self._frame = self._frame or self._new()
        self._ready = memoryview(self._frame.decompress(packed))
        if self._frame.eof:
            self._rest = self._frame.unused_data
            self._frame = None
