"""Questions from `hf:ORG/NAME[/CONFIG][:SPLIT]` and `hf:./FOLDER`: datasets of the hub and of folders, streamed.

The `datasets` library finds the files and reads them; it runs no code of a dataset. Nothing is downloaded as a whole:
a copy that the library prepared before is read where there is one, else rows come as they are asked for.
"""

import contextlib
import gzip
import hashlib
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editctl.errors import InputError, UsageError, near_misses
from editctl.files import InputFile
from editctl.hub_names import PREFIX, Named, parse, split_of
from editctl.hub_rows import question_of
from editctl.jsonl import locate
from editctl.questions import QuestionReader
from editctl.records import Question
from editctl.sets import hub

if TYPE_CHECKING:
    from datasets import DatasetBuilder

Note = dict[str, Any]
Opener = Callable[[str], InputFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A dataset's splits, not read yet."""

    splits: Mapping[str, Any]
    """Name of each split -> what `datasets` iterates over."""
    files: Mapping[str, Iterable[str]]
    """Local files of each split, where they are known."""
    sizes: Mapping[str, int]
    """Rows of each split, where the dataset says."""
    fingerprints: Mapping[str, str]
    """What tells a local dataset's versions apart, by split."""
    facts: Mapping[str, Any]
    """What the manifest says of it."""


def read_hub(text: str, reader: QuestionReader, open_input: Opener, notes: list[Note]) -> Iterator[Question]:
    """The questions of one `hf:` source, in the dataset's order; a note of what is read goes to `notes`.

    The dataset is looked for now; its rows are read when they are needed.

    Raises:
        UsageError: a source of another shape, a configuration or a split that the dataset has not.
        InputError: a dataset that is not to be had, or a row that is no question.
    """
    named = parse(text)
    with _quiet():
        opened = _open_folder(named) if named.is_local else _open_repository(named)
    split = split_of(named, tuple(opened.splits))
    for path in opened.files.get(split, ()):
        if Path(path).is_file():
            open_input(path).close()  # for the lineage: hashed when the command is done
    note = {"name": text, **opened.facts, "split": split, "published": opened.sizes.get(split), "read": 0}
    if named.is_local:
        note["fingerprint"] = opened.fingerprints.get(split)
    notes.append(note)
    return _questions(named, opened.splits[split], reader, note)


def count_hub(text: str, notes: Iterable[Note]) -> int | None:
    """How many questions a source holds, where it was opened and says so."""
    found = next((note["published"] for note in notes if note["name"] == text), None)
    return None if found is None else int(found)


@contextlib.contextmanager
def _quiet(*, offline: bool = False) -> Iterator[None]:
    """Keep `datasets` from talking, from asking a second service, and, where told, from asking the hub at all."""
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # faults are told in one line of our own
    wanted = {"USE_PARQUET_EXPORT": False, "HF_HUB_OFFLINE": offline or datasets.config.HF_HUB_OFFLINE}
    before = {name: getattr(datasets.config, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(datasets.config, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(datasets.config, name, value)


def _open_folder(named: Named) -> _Opened:
    folder = Path(named.place)
    if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
        return _open_saved(named, folder)
    builder = _builder(named, str(folder))
    files = {str(split): list(paths) for split, paths in (getattr(builder.config, "data_files", None) or {}).items()}
    return _streams(
        named, builder, {"set": folder.resolve().name, "config": builder.config.name, "source": "local"}, files
    )


def _open_saved(named: Named, folder: Path) -> _Opened:
    """A folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote."""
    import datasets

    if named.config is not None:
        raise UsageError(f"{named.text}: a saved dataset has no configurations; leave out /{named.config}")
    with _told(named):
        saved = datasets.load_from_disk(str(folder), keep_in_memory=False)
    splits = saved if isinstance(saved, dict) else {str(saved.split or "all"): saved}
    files = {str(split): [file["filename"] for file in one.cache_files] for split, one in splits.items()}
    return _memory_mapped(splits, {"set": folder.resolve().name, "config": None, "source": "local"}, files)


def _memory_mapped(splits: Mapping[Any, Any], facts: Note, files: Mapping[str, Iterable[str]]) -> _Opened:
    return _Opened(
        splits={str(split): one.to_iterable_dataset() for split, one in splits.items()},
        files=files,
        sizes={str(split): one.num_rows for split, one in splits.items()},
        facts=facts,
        fingerprints={str(split): str(one._fingerprint) for split, one in splits.items()},
    )


def _open_repository(named: Named) -> _Opened:
    fault = hub.fault_of(named.place, named.revision)
    try:
        with _quiet(offline=fault is not None):
            builder = _builder(named, named.place)
    except InputError as error:
        if fault is None:
            raise
        raise InputError(f"{hub.reason_of(fault)}; {_advice(named, fault)}", file=named.text) from error
    if named.revision is not None and fault is not None and builder.hash != named.revision:
        reason = f"{hub.reason_of(fault)}; the copy in the cache is of revision {builder.hash}, and only commits tell"
        raise InputError(f"{reason} whether it is the one you name", file=named.text)
    facts = {"set": named.place, "config": builder.config.name, "revision": str(builder.hash)}
    if (Path(builder.cache_dir) / "dataset_info.json").is_file():
        with _told(named):
            prepared = builder.as_dataset()
        return _memory_mapped(prepared, {**facts, "source": "cache"}, {})
    return _streams(named, builder, {**facts, "source": "hub"}, {})


def _advice(named: Named, fault: BaseException) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(fault, HfHubHTTPError):
        return "check its name and yours (hf auth whoami)"
    name = named.place.partition("/")[2]
    return (
        f"where there is a network: hf download {named.place} --repo-type dataset --local-dir {name}; "
        f"then name the folder: hf:./{name}"
    )


def _streams(named: Named, builder: "DatasetBuilder", facts: Note, files: Mapping[str, Iterable[str]]) -> _Opened:
    with _told(named):
        streams = builder.as_streaming_dataset()
    sizes = {str(name): split.num_examples for name, split in (builder.info.splits or {}).items() if split.num_examples}
    splits = {str(name): one for name, one in streams.items()}
    return _Opened(
        splits=splits, files=files, sizes=sizes, facts=facts, fingerprints=dict.fromkeys(splits, str(builder.hash))
    )


def _builder(named: Named, place: str) -> "DatasetBuilder":
    import datasets

    try:
        with _told(named):
            # An absolute path: a relative one could be taken for a repository's name.
            place = str(Path(place).resolve()) if named.is_local else place
            return datasets.load_dataset_builder(place, named.config, revision=named.revision)
    except InputError as error:
        if isinstance(error.__cause__, ValueError):
            _refuse_config(named, place)
        raise


def _refuse_config(named: Named, place: str) -> None:
    """Raises UsageError where the configuration is what is wrong."""
    import datasets

    try:
        with _told(named):
            known = datasets.get_dataset_config_names(place, revision=named.revision)
    except InputError:
        return
    if named.config is None and len(known) > 1:
        shown = f"{', '.join(known[:12])}{', ...' if len(known) > 12 else ''}"
        bare, colon, split = named.text.partition("?")[0].partition(":")[2].partition(":")
        example = f"{PREFIX}{bare}/{known[0]}{colon}{split}"
        raise UsageError(f"{named.text}: has the configurations {shown}; name one, as in {example}")
    if named.config is not None and named.config not in known:
        raise UsageError(f"{named.text}: has no configuration {named.config!r}; {near_misses(named.config, known)}")


@contextlib.contextmanager
def _told(named: Named) -> Iterator[None]:
    """Faults of the library in one line. Raises InputError for them."""
    import httpx
    import pyarrow
    import yaml
    from datasets.exceptions import DatasetsError

    told = (DatasetsError, OSError, ValueError, RuntimeError, httpx.HTTPError, pyarrow.ArrowException, yaml.YAMLError)
    try:
        yield
    except StopIteration as error:  # how the library meets a file without a row
        raise InputError("a file of it holds no row; leave it out, or fetch it again", file=named.text) from error
    except (*told, *_DAMAGED) as error:
        raise InputError(f"can't be read as a dataset: {_reason(error)}", file=named.text) from error


_DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, zlib.error)
"""What the readers of packed files raise; the first would pass for an end of typing."""


def _reason(error: Exception) -> str:
    import yaml

    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        # The library hands over the head without its first line, `---`.
        where = f"line {error.problem_mark.line + 2}"
        return f"README.md: its head, between the two ---, is no YAML ({where}: {error.problem}); mend it"
    if isinstance(error, yaml.YAMLError):
        return "README.md: its head, between the two ---, is no YAML; mend it"
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    if isinstance(error, _DAMAGED):
        return f"a packed file is cut off or damaged ({reason}); fetch or pack it again"
    return reason


def _questions(named: Named, rows: Any, reader: QuestionReader, note: Note) -> Iterator[Question]:
    ids = hashlib.sha256()
    features = dict(rows.features or {})
    for index, row in enumerate(_rows(named, rows)):
        with locate(named.text, f"row {index + 1}"):
            question = question_of(row, features, reader, f"{_short(note)}#{index}")
            reader.claim(question.id)
        note["read"] += 1
        ids.update(f"{question.id}\n".encode())
        yield question
    if not note["read"]:
        raise InputError("is empty: no rows to work on", file=named.text)
    note["ids_sha256"] = ids.hexdigest()  # only now is the split known whole


def _rows(named: Named, rows: Any) -> Iterator[Mapping[str, Any]]:
    # Pictures and sound stay as they are; where nothing is known of the columns there is nothing to decode.
    found = iter(rows.decode(enable=False) if rows.features else rows)
    while True:
        with _told(named):
            try:
                row = next(found)
            except StopIteration:
                return
        yield row


def _short(note: Note) -> str:
    """The dataset's name in ids: the same on every machine, wherever a folder lies."""
    config = f"/{note['config']}" if note["config"] and note["config"] != "default" else ""
    return f"{note['set']}{config}:{note['split']}"
