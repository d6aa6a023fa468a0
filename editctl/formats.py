"""Chain formats: texts with named sections, read from what teachers write and written in one canonical way.

A format is a parser and a renderer, both pure; nothing is run here. docs/formats.md is the reference.
"""

import ast
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from editctl.errors import EditctlError, UsageError, near_misses
from editctl.records import Chain, Runner
from editctl.sandbox.snippets import EQUATION_FENCES, LONGEST, unfenced, written_program

COT = "cot"
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "core": "Core question:",
        "information": "Problem-solving information:",
        "solution": "Solution:",
        "program": "Program:",
        "equations": "Equations:",
    }
)
"""What stands before a section; a program or equations that are the whole chain stand without theirs."""
AFTER_LABEL: Mapping[str, str] = MappingProxyType({"core": " ", "information": " ", "solution": "\n"})
"""What stands between a label and its section."""
SYNONYMS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "core": frozenset({"core question", "core problem", "key question", "main question", "central question"}),
        "information": frozenset(
            {
                "problem solving information", "information", "key information", "relevant information",
                "given information", "known information", "useful information", "key problem solving information",
                "hints",
            }
        ),
        "solution": frozenset({"solution", "solution steps", "step by step solution", "detailed solution"}),
        "program": frozenset(
            {"program", "python program", "code", "python code", "solution", "python solution", "solution program"}
        ),
        "equations": frozenset({"equations", "system of equations", "system of linear equations", "solution"}),
    }
)  # fmt: skip
"""Names teachers give a section, in lower case, hyphens as spaces; plain ones only. `the` may stand before each."""
_LONGEST_LABEL = 200
"""Characters at the start of a line among which a label is looked for, its markup included."""
_DASHES = "\u2010-\u2015\u2212-"
_LABEL_LINE = re.compile(
    r"(?P<before>[ \t>*_#•+-]*+)(?P<number>(?:step[ \t]++)?\(?[0-9]{1,2}[.):][ \t]*+)?(?P<bold>[*_]*+)[ \t]*+"
    rf"(?P<name>[a-z]{{3,12}}(?:[ \t{_DASHES}]++[a-z]{{2,12}}){{0,4}})(?:[ \t]*+\([^()\n]{{1,40}}\))?[ \t]*"
    r"(?P<closed>[*_]*)[ \t]*(?P<colon>[:：]?)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_FENCE_LINE = re.compile(r"[ \t]*(?:```|~~~)")
_OPENING = re.compile(r"[ \t]*(?:```|~~~)[^`~]*$")
_WHOLE_FENCE = re.compile(
    r"\A\s*(?P<fence>```|~~~)[ \t]*+(?:text|markdown|md|plaintext)?[ \t]*+\n(?P<body>.*)\n[ \t]*(?P=fence)\s*\Z",
    re.DOTALL | re.IGNORECASE,
)
_EQUATION = re.compile(r"^(?![^\S\n]*(?:%|#|//)).*=", re.MULTILINE)
_OTHER_FENCES = ("latex", "tex", "math", "plaintext", "plain", "python")
_ONE_AT_A_TIME = threading.Lock()


class FormatFault(EditctlError):
    """A text that is not in the format, or sections that can't be written in it.

    `reason` is countable: no-core, no-information, no-solution, no-program, no-equations, not-python,
    repeated-section; of a chain, other-format (its sections are another's); and, of sections alone, other-sections
    (not the format's own) and ambiguous (written down they would be read as something else).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A way to write a chain."""

    name: str
    title: str
    """One line on what it is."""
    sections: tuple[str, ...]
    """Names of its sections, in order; none for cot, whose text is the chain."""
    runner: Runner | None
    """What its last section is run by."""

    def parse(self, text: str) -> dict[str, str]:
        """The sections of a text, tolerant of how teachers mark them up. Raises FormatFault."""
        if not self.sections:
            return {}
        if len(self.sections) == 1:
            (name,) = self.sections
            return {name: _program(text, name) if self.runner == "python" else _equations(text)}
        return _labelled(text, self)

    def render(self, sections: Mapping[str, str]) -> str:
        """The canonical text of sections: `parse` reads exactly them from it. Raises FormatFault."""
        if set(sections) != set(self.sections):
            raise FormatFault("other-sections", f"{self.name} has the sections {', '.join(self.sections) or 'none'}")
        for name in self.sections:
            _full(name, sections[name])
        if len(self.sections) < 2:
            text = "".join(sections.values())
        else:
            text = "\n".join(labelled(name, sections[name]) for name in self.sections)
        if self.parse(text) != dict(sections):
            raise FormatFault("ambiguous", f"these sections can't be told apart in {self.name}'s text")
        return text


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        one.name: one
        for one in (
            Format(name=COT, title="steps in words, then the conclusion", sections=(), runner=None),
            Format(
                name="pot",
                title="a Python program that leaves its result in `ans`",
                sections=("program",),
                runner="python",
            ),
            Format(
                name="eot",
                title="equations that determine `ans`",
                sections=("equations",),
                runner="equations",
            ),
            Format(
                name="kpdd-cot",
                title="core question, problem-solving information, then steps in words",
                sections=("core", "information", "solution"),
                runner=None,
            ),
            Format(
                name="kpdd-pot",
                title="core question, problem-solving information, then a Python program",
                sections=("core", "information", "solution"),
                runner="python",
            ),
        )
    }
)
"""Every format by name."""


def format_of(name: str) -> Format:
    """The format of a name. Raises UsageError with near misses."""
    if name not in FORMATS:
        raise UsageError(f"unknown chain format {name!r}; {near_misses(name, FORMATS)}")
    return FORMATS[name]


def labelled(name: str, section: str) -> str:
    """One section of several, with its label before it."""
    return f"{LABELS[name]}{AFTER_LABEL[name]}{section}"


def sections_of(chain: Chain, format: Format) -> dict[str, str]:
    """The chain's own sections, or those of its text where it tells none. Raises FormatFault."""
    if not format.sections:
        return {}
    if chain.sections is None:
        return format.parse(chain.text)
    if set(chain.sections) != set(format.sections):
        raise FormatFault("other-format", f"the chain has the sections {', '.join(chain.sections) or 'none'}")
    return format.parse(format.render({name: chain.sections[name].strip() for name in format.sections}))


def _full(name: str, section: str) -> str:
    if not section.strip():
        raise FormatFault(f"no-{name}", f"there is no {LABELS[name].rstrip(':').lower()}")
    return section


def _program(text: str, name: str) -> str:
    """The Python of a text. Raises FormatFault."""
    program = _full(name, written_program(text)).strip("\n").rstrip()
    first, _, others = program.partition("\n")
    found = _label(first, ("program",))
    # `solution: int = 3` is a program as it stands, and so is a comment; a heading of two hashes is not meant as one.
    if found and not found[1].strip() and (first.lstrip().startswith("##") or not _is_python(program)):
        program = _full(name, written_program(others)).strip("\n").rstrip()
    elif found and first.lstrip(" \t>*_")[:1].isupper():  # `Program: x = 3` would be an annotation, in Python
        rest = written_program(f"{found[1]}\n{others}").strip("\n").rstrip()
        program = rest if _is_python(rest) else program
    if not _is_python(program):
        raise FormatFault("not-python", "the text is no Python program")
    return program


def _equations(text: str) -> str:
    """The equations of a text, with the prose and the comments among them. Raises FormatFault."""
    lines = unfenced(text, (*EQUATION_FENCES, *_OTHER_FENCES)).strip().split("\n")
    found = _label(lines[0], ("equations",))
    kept = "\n".join(line.rstrip() for line in ([found[1], *lines[1:]] if found else lines)).strip()
    if not _EQUATION.search(kept):
        raise FormatFault("no-equations", "the text holds no equation")
    return kept


def _labelled(text: str, format: Format) -> dict[str, str]:
    whole = _WHOLE_FENCE.match(text)
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line, name, rest in _lines(whole["body"] if whole else text, format):
        if name is None:
            current.append(line)
        elif name not in found:
            current = found[name] = [rest]
        elif "".join(found[name]).strip() or ("solution" in found and name != "solution"):
            raise FormatFault("repeated-section", f"{LABELS[name]} stands there twice")
        else:  # a heading, and then the label itself
            current = found[name] = [rest]
    texts = {name: _full(name, "\n".join(found.get(name, ())).strip("\n").rstrip()) for name in format.sections}
    last = _program(texts["solution"], "solution") if format.runner else texts["solution"].strip()
    return {name: _full(name, _bare(texts[name])) for name in format.sections[:-1]} | {"solution": last}


def _bare(section: str) -> str:
    """A section of words; one that begins with a fence without that fence."""
    section = section.strip()
    if not _OPENING.match(section.partition("\n")[0]):
        return section
    lines = section.split("\n")[1:]
    end = next((at for at, line in enumerate(lines) if _FENCE_LINE.match(line)), len(lines))
    return "\n".join([*lines[:end], *lines[end + 1 :]]).strip()


def _lines(text: str, format: Format) -> Iterator[tuple[str, str | None, str]]:
    """Every line, with the name of the section whose label it begins with, and what follows that label."""
    fenced = False
    solving = False
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        fence = _FENCE_LINE.match(line) is not None
        comment = solving and format.runner == "python" and line.lstrip().startswith("#")
        found = None if fence or fenced or comment else _label(line, format.sections, format.runner)
        fenced ^= fence or (found is not None and _OPENING.match(found[1]) is not None)
        solving |= found is not None and found[0] == "solution"
        yield line, *(found or (None, ""))


def _label(line: str, names: tuple[str, ...], runner: Runner | None = None) -> tuple[str, str] | None:
    """The section whose label the line begins with, and what follows; None for any other line."""
    found = _LABEL_LINE.match(line[:_LONGEST_LABEL])
    if found is None:
        return None
    words = re.sub(rf"[\s{_DASHES}]+", " ", found["name"].lower()).removeprefix("the ")
    programs = SYNONYMS["program"] if runner else ()
    known = (one for one in names if words in SYNONYMS[one] or (one == "solution" and words in programs))
    name = next(known, None)
    rest = found["rest"] + line[_LONGEST_LABEL:]
    marked = "#" in found["before"] or found["bold"] or "*" in found["before"] or "_" in found["before"]
    if name is None or not (found["colon"] or (marked and not rest.strip())):
        return None
    return name, _without_bold(found, rest)


def _without_bold(found: re.Match[str], rest: str) -> str:
    """What follows a label, without the markup that was opened before the label."""
    mark = found["bold"] or re.sub(r"[^*_]|[*][ \t]", "", found["before"])
    if not mark or found["closed"]:
        return rest.lstrip()
    if rest.startswith(mark):
        return rest.removeprefix(mark).lstrip()
    rest = rest.lstrip()
    return rest.rstrip().removesuffix(mark) if rest.count(mark) % 2 else rest


def _is_python(text: str) -> bool:
    """Whether the text is a program of at least one statement, as this interpreter's grammar has it."""
    tree = program_tree(text)
    return tree is not None and bool(tree.body)


def program_tree(text: str) -> ast.Module | None:
    """What Python reads in a text; None where it is no program or a longer one than is run."""
    if len(text) > LONGEST:
        return None
    # Python warns of odd escapes while it reads; its filters belong to the whole process.
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
