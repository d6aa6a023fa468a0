"""Streams that hash what passes through them."""

import errno
import hashlib
import io
import os
from typing import Any, BinaryIO


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


class HashedFile(io.RawIOBase):
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
            try:
                self.file.flush()
                _sync(self.file.fileno())
            finally:
                self.file.close()

    def fileno(self) -> int:
        return self.file.fileno()

    def writable(self) -> bool:
        return True


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):  # pipes and devices know no fsync
            raise
