"""Rows of anybody's question file -> Question records: usual field names, `--map`, stable ids."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from editctl.errors import UsageError, near_misses
from editctl.fields import Fields
from editctl.jsonl import FieldError, Row, UniqueIds, locate
from editctl.options import parse_pairs
from editctl.records import Question
from editctl.rows import LATER_KEYS, stage_of

ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "question": ("question", "instruction", "input", "problem", "prompt"),
    "answer": ("answer", "output", "target", "label", "solution"),
    "task": ("task", "task_name"),
    "kind": ("kind",),
    "description": ("description", "task_description"),
    "choices": ("choices", "options"),
}
"""Our field name, and the names it is looked for under, first found first taken."""
_OF_PREDICTIONS = ("question_id", "sample", "text")
"""Names that `--map` takes for predictions only; here they are near misses at most."""


class QuestionReader:
    """Turns rows into questions; keeps count of ids over all the files of one run."""

    def __init__(self, mapping: Iterable[str] = (), *, need_answer: bool = True) -> None:
        """`mapping` holds `ours=theirs` texts, as `--map` takes them."""
        self.mapping = parse_pairs(mapping, "--map")
        self.need_answer = need_answer
        self._ids = UniqueIds()
        self._contents: Counter[str] = Counter()
        if "" in self.mapping.values():
            raise UsageError("--map needs a field name on both sides of the equals sign")

    def read(self, rows: Iterable[tuple[int | str, Row]], name: str) -> Iterator[Question]:
        """Questions of one file.

        Raises:
            InputError: a missing or wrong-typed field, another stage's row, an id given twice.
        """
        for number, row in rows:
            with locate(name, number):
                question = self.convert(row)
                self._ids.add(question.id)
            yield question

    def claim(self, identifier: str) -> None:
        """Take the id of a question that was not read by `read`. Raises FieldError when it was given before."""
        self._ids.add(identifier)

    @property
    def has_made_ids(self) -> bool:
        """Whether rows without an id were given one."""
        return bool(self._contents)

    def convert(self, row: Row) -> Question:
        """One row's question. Raises FieldError."""
        found = stage_of(row)
        if found is not None:
            raise FieldError(None, f"holds {found}; questions are needed here")
        row = self.renamed(row)
        names = {ours: self._name(row, ours) for ours in ALIASES}
        fields = Fields(row)
        text = self._question_text(fields, names)
        answer = fields.optional_text(names["answer"])
        if self.need_answer and answer is None:
            raise FieldError("answer", f"is missing ({_looked_for('answer')})")
        choices = fields.optional_texts(names["choices"])
        task = fields.optional_text(names["task"])
        return Question(
            id=fields.optional_text("id") or self._content_id(task, text, answer, choices),
            question=text,
            task=task,
            answer=answer,
            kind=fields.optional_text("kind"),
            description=fields.optional_text(names["description"]),
            choices=choices,
            extra=_extra(row, {*names.values(), *ALIASES}),
        )

    def renamed(self, row: Row) -> Row:
        """Apply --map: `ours=theirs` moves the value of `theirs`. Raises FieldError where the row lacks that."""
        row = dict(row)
        for ours, theirs in self.mapping.items():
            if theirs not in row:
                raise _unmapped(ours, theirs)
            row[ours] = row.pop(theirs)
        return row

    @staticmethod
    def _name(row: Row, ours: str) -> str:
        return next((name for name in ALIASES[ours] if row.get(name) is not None), ours)

    @staticmethod
    def _question_text(fields: Fields, names: dict[str, str]) -> str:
        name = names["question"]
        if fields.row.get(name) is None:
            raise FieldError("question", f"is missing ({_looked_for('question')})")
        text = fields.text(name)
        if name == "instruction" and (fields.optional_text("input") or "").strip():
            text = f"{text}\n{fields.text('input')}"  # an Alpaca row's question has two halves
        if not text.strip():
            raise FieldError(name, "is blank")
        return text

    def _content_id(self, task: str | None, text: str, answer: str | None, choices: tuple[str, ...] | None) -> str:
        """The same content gives the same id in every file; the k-th repeat gets `-k`."""
        content = json.dumps([task, text, answer, choices], ensure_ascii=True)
        name = hashlib.sha256(content.encode()).hexdigest()[:16]
        self._contents[name] += 1
        return name if self._contents[name] == 1 else f"{name}-{self._contents[name]}"


def _unmapped(ours: str, theirs: str) -> FieldError:
    """Fields of any name may be renamed: what is mistyped on the left side shows where the right side is missing."""
    missing = f"is missing (named by --map {ours}={theirs})"
    if ours in ALIASES or ours.startswith("my_"):
        return FieldError(theirs, missing)
    hint = near_misses(ours, [*ALIASES, *_OF_PREDICTIONS])
    if not hint.startswith("did you mean"):
        hint = f"known: {', '.join(ALIASES)};"
    return FieldError(None, f"--map {ours}={theirs}: {ours!r} is no field of ours; {hint} the row has no {theirs!r}")


def _looked_for(ours: str) -> str:
    return f"looked for {', '.join(ALIASES[ours])}; name yours with --map {ours}=FIELD"


def _extra(row: Row, taken: set[str]) -> Row:
    extra = {key: value for key, value in row.items() if key not in taken}
    clash = LATER_KEYS & extra.keys()
    if clash:
        name = sorted(clash)[0]
        raise FieldError(name, f"is a field that editctl writes itself; rename yours with --map my_{name}={name}")
    return extra


def content_hash(question: Question) -> str:
    """Short hash of what is asked, whatever the id: tells whether a test question was trained on."""
    text = " ".join([*question.question.split(), *(question.choices or ())])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
