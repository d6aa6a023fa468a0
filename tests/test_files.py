"""Reading and writing: hashes, packing, whole files or none."""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from editctl.errors import InputError, UsageError
from editctl.files import InputFile, OutputError, OutputFile, disk_errors, sha256_of, write_text

ENDINGS = ["", ".gz", ".zst"]


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def pack(data: bytes, ending: str) -> bytes:
    """Bytes as a file of that ending holds them."""
    if ending == ".gz":
        return gzip.compress(data)
    return bytes(zstandard.ZstdCompressor().compress(data)) if ending == ".zst" else data


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read_again_with_the_same_hash(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.jsonl{ending}"
    target = OutputFile(str(path))
    for number in range(20_000):
        target.write(f"line {number} é")
    target.commit()
    source = InputFile(str(path))
    read = list(source.lines())
    assert read[0] == (1, "line 0 é\n")
    assert read[-1] == (20_000, "line 19999 é\n")
    assert target.sha256() == source.sha256() == sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert target.rows == 20_000
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_hash_of_a_file_covers_what_was_not_read(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(pack(b"line\n" * 100_000, ending))
    source = InputFile(str(path))
    assert next(source.lines()) == (1, "line\n")
    assert source.sha256() == sha256_of(path)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_archives_in_several_parts_are_read_whole(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(pack(b"one\n", ending) + pack(b"two\n", ending))
    assert [line for _, line in InputFile(str(path)).lines()] == ["one\n", "two\n"]
    assert InputFile(str(path)).read() == b"one\ntwo\n"


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_archive_that_breaks_off_is_refused(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    whole = pack(os.urandom(300_000).hex().encode(), ending)
    path.write_bytes(whole[: len(whole) // 2])
    for read in (lambda: list(InputFile(str(path)).lines()), lambda: InputFile(str(path)).read()):
        with pytest.raises(InputError, match="can't be unpacked"):
            read()


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))),
    st.sampled_from(["\n", "\r\n"]),
)
def test_lines_are_what_stands_between_line_ends(texts: list[str], end: str) -> None:
    folder = Path(os.environ["EDITCTL_STATE"])
    (folder / "a").write_bytes("".join(text + end for text in texts).encode())
    read = [line for _, line in InputFile(str(folder / "a")).lines()]
    expected = [text + "\n" for text in texts]
    if expected:
        expected[0] = expected[0].removeprefix("\ufeff")
    assert read == expected


def test_bad_byte_is_blamed_on_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"fine\n" * 5000 + b"bad \xff\n" + b"fine\n" * 5000)
    with pytest.raises(InputError, match="line 5001: is no UTF-8 text"):
        list(InputFile(str(tmp_path / "a")).lines())


def test_stdin_is_hashed_when_it_was_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped:
        buffer = io.BytesIO(b"one\ntwo\n")

    monkeypatch.setattr(sys, "stdin", Piped())
    source = InputFile("-")
    lines = source.lines()
    next(lines)
    assert source.sha256() is None
    assert source.name == "stdin"
    assert len(list(lines)) == 1
    assert source.sha256() == hashlib.sha256(b"one\ntwo\n").hexdigest()


def test_nothing_stands_at_the_place_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("former\n")
    target = OutputFile(str(path))
    target.write("new")
    assert path.read_text() == "former\n"
    target.commit()
    assert path.read_text() == "new\n"
    target.abandon()
    assert path.read_text() == "new\n", "what is committed can't be dropped any more"


def test_abandoned_output_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("former\n")
    target = OutputFile(str(path))
    target.write("new")
    target.abandon()
    assert path.read_text() == "former\n"
    assert names(tmp_path) == ["a.jsonl"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_set_aside_can_be_read(ending: str, tmp_path: Path) -> None:
    target = OutputFile(str(tmp_path / f"a.jsonl{ending}"))
    target.write("one")
    place = target.set_aside()
    assert place == tmp_path / f"a.jsonl{ending}.partial"
    packed = place.rename(tmp_path / f"b{ending}")
    assert [line for _, line in InputFile(str(packed)).lines()] == ["one\n"]
    target.abandon()
    assert names(tmp_path) == [f"b{ending}"]


def test_nothing_is_set_aside_when_nothing_was_written(tmp_path: Path) -> None:
    target = OutputFile(str(tmp_path / "a.jsonl"))
    assert target.set_aside() is None
    assert names(tmp_path) == []


def test_devices_and_pipes_are_written_as_they_stand(tmp_path: Path) -> None:
    device = os.stat("/dev/null").st_mode  # noqa: PTH116
    target = OutputFile("/dev/null")
    assert target.is_stream  # before anything is moved there: a test must not replace the device
    target.write("gone")
    target.commit()
    assert os.stat("/dev/null").st_mode == device  # noqa: PTH116
    os.mkfifo(tmp_path / "pipe")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    reader.start()
    target = OutputFile(str(tmp_path / "pipe"))
    target.write("through")
    target.commit()
    reader.join()
    assert got == ["through\n"]
    assert target.sha256() == hashlib.sha256(b"through\n").hexdigest()
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.jsonl").write_text("former\n")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "there" / "real.jsonl")
    target = OutputFile(str(tmp_path / "link.jsonl"))
    target.write("new")
    target.commit()
    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "there" / "real.jsonl").read_text() == "new\n"


@pytest.mark.parametrize(
    ("name", "says"), [(".", "is a folder"), ("none/a", "there is no folder"), ("/proc/a", "can't be written")]
)
def test_places_that_cannot_be_written(name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        OutputFile(name)
    assert names(tmp_path) == []


def test_full_disk_is_one_clear_error_and_a_closed_pipe_is_left_alone() -> None:
    target = OutputFile("/dev/full")
    with pytest.raises(OutputError, match=r"^/dev/full: can't be written: No space left on device; free some space"):
        target.write("x")
    with pytest.raises(BrokenPipeError), disk_errors("x"):
        raise BrokenPipeError


def test_small_files_are_written_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "é\n")
    write_text(tmp_path / "a", "ü\n")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "ü\n"
    assert names(tmp_path) == ["a"]
    with pytest.raises(OutputError):
        write_text(tmp_path / "none" / "a", "")


def test_what_a_killed_process_left_is_swept_up(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = tmp_path / f".out.jsonl.{gone.pid}.tmp"
    names = (".out.jsonl.mine.tmp", ".out.jsonl.tmp", f".other.{gone.pid}.tmp")
    others = [tmp_path / name for name in names]
    for path in (dead, *others):
        path.touch()
    target = OutputFile(str(tmp_path / "out.jsonl"))
    assert not dead.exists()
    assert all(path.exists() for path in others)
    target.abandon()


def test_an_output_that_a_living_process_writes_is_left_to_it(tmp_path: Path) -> None:
    theirs = tmp_path / f".out.jsonl.{os.getppid()}.tmp"
    theirs.touch()
    with pytest.raises(UsageError, match=f"process {os.getppid()} is writing it"):
        OutputFile(str(tmp_path / "out.jsonl"))
    assert theirs.exists()


def test_a_whole_output_takes_the_place_of_what_was_kept_of_it(tmp_path: Path) -> None:
    for whole in (False, True):
        target = OutputFile(str(tmp_path / "out.jsonl"))
        target.write("row")
        if whole:
            target.commit()
        else:
            target.set_aside()
    assert names(tmp_path) == ["out.jsonl"]


def test_dev_stdout_in_a_pipe_is_a_stream() -> None:
    code = "from editctl.files import OutputFile; out = OutputFile('/dev/stdout'); out.write('row'); out.commit()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "row\n", "")


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r\n", "é".encode(), b"", b"x" * 9, b"\n\n"]), max_size=12))
def test_lines_in_groups_are_the_lines(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("groups") / "f.txt"
    path.write_bytes(b"".join(pieces))
    expected = list(InputFile(str(path)).lines())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("editctl.files._AT_ONCE", 4)
        source = InputFile(str(path))
        assert [line for group in source.line_groups() for line in group] == expected
        assert source.sha256() == sha256_of(path)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_packed_lines_come_in_groups_too(tmp_path: Path, ending: str) -> None:
    path = str(tmp_path / f"f.jsonl{ending}")
    target = OutputFile(path)
    for number in range(5):
        target.write(f"line {number}")
    target.commit()
    assert [text for group in InputFile(path).line_groups() for _, text in group] == [f"line {n}\n" for n in range(5)]


def test_a_group_names_the_line_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_bytes(b"a\nb\n\xff\n")
    with pytest.raises(InputError, match="is no UTF-8 text") as caught:
        list(InputFile(str(path)).line_groups())
    assert "line 3" in str(caught.value)
