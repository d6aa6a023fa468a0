"""Options of a multiple-choice question, and reading which one an answer means.

Labels are single capital letters or numbers; the canonical answer is `(D)`.
"""

import re
from functools import lru_cache

from editctl.answers.readers import comparable, corrected, read_number
from editctl.answers.surfaces import plain, settle

Options = tuple[tuple[str, str], ...]
"""Label and text of each option, in order."""

_HEADING = re.compile(r"(?:^|[\s.])(?:Answer )?(?:Options|Choices)[ \t]*:", re.IGNORECASE)
_HEADING_WORDS = "options", "choices"
_HEADING_END = re.compile(r"(?:options|choices)[ \t]*:")
"""In small letters, behind white space, a full stop or nothing: the same headings, found many times as fast."""
_LABELLED = re.compile(r"\s*\(?([A-Z]|[0-9]{1,2})[).:]\s*(?=\S)(.*)")
_BARE_LABEL = re.compile(r"\s*([A-Z])[?]?\s+(?=\S)(.*)")
_INLINE = re.compile(r"(?:^|\s)\(([A-Z]|[0-9])\)\s*")
_NUMBER_RUN = re.compile(r"[0-9][0-9.,]*")

_PART_BEFORE = re.compile(r"(?:[\w/^-]|[0-9][.,])\Z")
_PART_AFTER = re.compile(r"[\w/^]|[.,][0-9]")

# Not a bare number or small letter: those are rather an option's text.
_MERE_LABEL = re.compile(r"\(\w{1,2}\)|[A-Z][.):]?")
_NAME = r"(?:(?:option|choice|answer|letter|statement|sentence)\s+)?"
_PARENTHESISED = re.compile(r"\(\s*([A-Za-z]|[0-9]{1,2})\s*\)")
_NAMED = re.compile(r"\b(?:option|choice|letter)\s+([A-Z]|[0-9]{1,2})\b(?!\s*\))", re.IGNORECASE)
_LEADING = re.compile(
    rf"\W*(?:the\s+)?(?i:{_NAME})(?P<label>[A-Z]|[0-9]{{1,2}}|[a-z](?=\s*[).:]|\W*\Z))"
    r"(?=\s*(?:\Z|[).:,;!?]|[/&]\s*\(?[A-Z]\b|\s-|\b(?:and|or|because|since|as|is|if|but)\b))"
)
_BESIDE_LABEL = re.compile(r"\(([A-Za-z]|[0-9]{1,2})\)|\b([A-Z])[).:]\s|\A([0-9]{1,2})\Z")
_BRACKETED = re.compile(r"[\[{<]\s*\(?([A-Za-z]|[0-9]{1,2})\)?\s*[\]}>]")
_NEGATED = re.compile(
    r"(?i:\b(?:not|never|than|instead of|except|excluding|unlike|neither|nor|(?:any|every)thing but|all but)|n't)\s+"
    rf"(?i:{_NAME})(?:\(\s*(?:[A-Za-z]|[0-9]{{1,2}})\s*\)|[A-Z]\b)"
)
_LEADS_IN = re.compile(
    r"\W*(?:(?:the|correct|right|option|choice|answer|letter|statement|sentence|is)\b\W*)*\Z", re.IGNORECASE
)
_REASON = re.compile(r"\b(?:because|since|as|which|where|while|whereas|but|so|due to|given)\b|[;:\n]")
_CONTRAST = re.compile(r",\s*(?:and\s+)?not\b|\brather than\b|\binstead of\b")
_BESIDE = re.compile(
    r"(?:both\s+)?\([A-Z]\)(?:(?:\s*,\s*(?:and|or)?|\s+and|\s+or|\s*/)\s*\([A-Z]\))*"
    r"|\(?(?:none|neither|all|both)(?: of (?:the|these)(?: (?:above|options|choices|sentences|statements))?)?\)?",
    re.IGNORECASE,
)
_CONNECTED = re.compile(rf"(?:\A|,|/|&|\+|\band|\bor)\s*(?:{_NAME})\Z", re.IGNORECASE)
_NEXT_BARE = re.compile(
    rf"\s*\)?\.?\s*(?:,|/|&|\b(?:and|or)\b)(?:\s*(?:and|or)\b)?\s*(?i:{_NAME})\(?([A-Z]|[0-9]{{1,2}})\)?(?!\w)"
)


@lru_cache(maxsize=1024)
def options_of(choices: tuple[str, ...] | None, question_text: str) -> Options:
    """The options given beside the question, or those listed in its text; empty where there are none.

    Options that stand in both places have the labels of the text.
    """
    if choices:
        return listed_options(choices, question_text) or lettered(choices)
    listed = _behind_heading(question_text)
    if listed is not None:
        return _listed(listed)
    lines = [line for line in question_text.split("\n") if _INLINE.match(line)]
    return _by_label(lines) if len(lines) > 1 else ()


def _behind_heading(question_text: str) -> str | None:
    """What stands behind the last heading of options; None where there is none."""
    if question_text.isascii():
        end = _last_heading_end(question_text.lower())
    else:  # letters beyond ASCII may count as one of a heading's
        end = max((heading.end() for heading in _HEADING.finditer(question_text)), default=None)
    return None if end is None else question_text[end:]


def _last_heading_end(lowered: str) -> int | None:
    places = [place for word in _HEADING_WORDS if (place := lowered.find(word)) >= 0]
    end = None
    for found in _HEADING_END.finditer(lowered, min(places)) if places else ():
        before = lowered[found.start() - 1 : found.start()]  # nothing at the very beginning
        if not before or before == "." or before.isspace():
            end = found.end()
    return end


def lettered(choices: tuple[str, ...]) -> Options:
    """Options in their order, labelled with letters; labels that they bring along are dropped."""
    return tuple((_label(index), _without_label(text, index)) for index, text in enumerate(choices))


def listed_options(choices: tuple[str, ...], question_text: str) -> Options:
    """These options as the question's text lists them, with labels or on lines of their own; empty where it does not.

    An option whose words merely occur in the text is not listed there.
    """
    own = lettered(choices)
    listed = options_of(None, question_text)
    if sorted(comparable(text) for _, text in listed) == sorted(comparable(text) for _, text in own):
        return listed
    block = (_behind_heading(question_text) or "").strip().split("\n\n")[0]
    lines = [comparable(line.strip(" \t-*•")) for line in block.split("\n")]
    if lines == [comparable(text) for _, text in own]:
        return own
    return own if _inline(own, question_text) else ()


def _inline(options: Options, question_text: str) -> bool:
    """Whether `(A) red (B) blue` stands in the text, in this order."""
    at = 0
    for label, text in options:
        found = re.compile(rf"(?<![\w(])\(?{label}[).:]\s*{re.escape(text)}(?!\w)").search(question_text, at)
        if not text or not found:
            return False
        at = found.end()
    return True


@lru_cache(maxsize=256)
def read_choice(surface: str, options: Options) -> str | None:
    """The option an answer means, as `(D)`; None where it means none or several.

    An option's exact text decides, unless the answer is a mere label; then a label, whatever text stands
    beside it; then the only option whose text the answer contains. A label that is not on offer means nothing.
    """
    text = plain(surface)
    bracketed = _BRACKETED.fullmatch(text)
    text = f"({bracketed[1]})" if bracketed else text
    if not _MERE_LABEL.fullmatch(text) and (label := _by_text(text, options)):
        return f"({label})"
    text = corrected(text)
    known = {label for label, _ in options} if len(options) > 1 else None
    kept = _NEGATED.sub(" ", text)
    named = _labels(kept, known)
    if named:
        return f"({named[0]})" if len(named) == 1 else None
    label = _by_text(text, options) or (_contained(text, options) if kept == text else None)
    return f"({label})" if label else None


def read_beside(surface: str) -> str | None:
    """An answer that settles on something, but on no single option: `(A) and (B)`, `(None of the above)`.

    It is a wrong answer rather than none; what merely fails to say anything stays unread.
    """
    text = plain(surface)
    return text if _BESIDE.fullmatch(text) else None


def written_out(text: str, options: Options) -> str | None:
    """The option whose whole text, of several sentences, a line begins with; None where there is none.

    An answer ends with its sentence; an option like `Before? G. After? L.` does not, and its first sentence may
    be that of another option as well.
    """
    line = comparable(text.lstrip().split("\n", 1)[0].strip("*_\"'`"))
    found = [
        (len(wanted), label)
        for label, option in options
        if len(settle(option)) < len(option.strip(" .\"'*")) and _begins(line, wanted := comparable(option))
    ]
    longest = [label for length, label in found if length == max(found)[0]]
    return f"({longest[0]})" if len(longest) == 1 else None


def _begins(line: str, wanted: str) -> bool:
    return bool(wanted) and line.startswith(wanted) and not line[len(wanted) : len(wanted) + 1].isalnum()


def exact_choice(surface: str, options: Options) -> str | None:
    """The option whose label, text, or both the answer is, with nothing else in it."""
    text = comparable(surface)
    for label, option in options:
        forms = (f"({label})", label, f"({label}) {option}", f"{label}) {option}", f"{label}. {option}")
        if text in map(comparable, forms):
            return f"({label})"
    label_of = _by_text(surface, options)
    return f"({label_of})" if label_of else None


def _label(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def _without_label(text: str, index: int) -> str:
    found = _LABELLED.match(text)
    return found[2].strip() if found and found[1] in (_label(index), str(index + 1)) else text.strip()


def _listed(block: str) -> Options:
    """Options from the text after their heading, up to a blank line."""
    lines = [line for line in block.strip().split("\n\n")[0].split("\n") if line.strip()]
    if len(lines) == 1:
        parts = _INLINE.split(lines[0])
        return tuple((parts[at], parts[at + 1].strip()) for at in range(1, len(parts) - 1, 2))
    labelled = [_LABELLED.match(line) for line in lines]
    regular = all(found[1] == _label(at) for at, found in enumerate(labelled) if found)
    # Some sources lost the mark after a label, or the label itself: there the line's place gives it.
    if regular and (any(labelled) or _all_bare(lines)):
        return tuple(
            (_label(at), found[2].strip() if found else _bare_text(line, _label(at)))
            for at, (line, found) in enumerate(zip(lines, labelled, strict=True))
        )
    return _by_label(lines)


def _all_bare(lines: list[str]) -> bool:
    bare = [found[1] for line in lines if (found := _BARE_LABEL.match(line))]
    return bare == [_label(at) for at in range(len(lines))]


def _bare_text(line: str, label: str) -> str:
    found = _BARE_LABEL.match(line)
    return found[2].strip() if found and found[1] == label else line.strip()


def _by_label(lines: list[str]) -> Options:
    options: list[tuple[str, str]] = []
    for line in lines:
        found = _LABELLED.match(line)
        if found:
            options.append((found[1], found[2].strip()))
        elif options:
            options[-1] = (options[-1][0], f"{options[-1][1]} {line.strip()}")
    return tuple(options)


def _labels(text: str, known: set[str] | None) -> tuple[str, ...]:
    """The labels the answer names: none, the one it means, or the first two of several."""
    mentions = [*_PARENTHESISED.finditer(text), *_NAMED.finditer(text)]
    mentions = sorted((match for match in mentions if _offered(match[1], known)), key=re.Match.start)
    leading = _LEADING.match(text)
    if not leading or not _offered(leading["label"], known):
        return _meant(text, mentions)
    if mentions and mentions[0].start() <= leading.start("label"):
        return _meant(text, mentions)
    following = _NEXT_BARE.match(text, leading.end("label"))
    other = following[1] if following and _offered(following[1], known) else leading["label"]
    return tuple(dict.fromkeys((leading["label"].upper(), other.upper())))


def _offered(label: str, known: set[str] | None) -> bool:
    return known is None or label.upper() in known


def _meant(text: str, mentions: list[re.Match[str]]) -> tuple[str, ...]:
    """A first label stands against later ones that are not joined to it or come with the reasons."""
    if not mentions:
        return ()
    first, label = mentions[0], mentions[0][1].upper()
    leads = _LEADS_IN.match(text[: first.start()])
    for other in mentions[1:]:
        between = text[first.end() : other.start()]
        if other[1].upper() == label or _REASON.search(between):
            continue
        if not leads or _CONNECTED.search(between):
            return label, other[1].upper()
    return (label,)


def _by_text(text: str, options: Options) -> str | None:
    """The only option with this text, the text's first sentence, or this number."""
    wanted = comparable(text)
    if not wanted:
        return None
    texts = [(label, comparable(option)) for label, option in options]
    same = [label for label, option in options if option == text]
    same = same or [label for label, option in texts if option == wanted]
    if not same and len(wanted) >= 10:
        same = [label for label, option in texts if option.startswith(wanted)]
    # A label that stands there, also a bare number where options are numbered, is not the number in an option's text.
    named = _BESIDE_LABEL.search(text)
    if not same and not (named and named[named.lastindex or 0].upper() in dict(options)):
        same = _by_number(text, options)
    return same[0] if len(same) == 1 else None


def _by_number(text: str, options: Options) -> list[str]:
    texts = [option for _, option in options]
    if not all(len(_NUMBER_RUN.findall(one)) == 1 for one in (*texts, text.rpartition("=")[2])):
        return []
    number = read_number(text)
    return [label for label, option in options if number is not None and read_number(option) == number]


def _contained(text: str, options: Options) -> str | None:
    """The only option whose text stands in the answer's first clause, unnegated."""
    clause = comparable(_CONTRAST.split(_REASON.split(text, maxsplit=1)[0], maxsplit=1)[0])
    spans = []
    for label, option in options:
        wanted = comparable(option)
        at = clause.find(wanted) if wanted else -1
        if at >= 0 and _stands_alone(clause, at, at + len(wanted)):
            spans.append((at, at + len(wanted), label))
    longest = [span for span in spans if not any(_within(span, other) for other in spans)]
    labels = {label for _, _, label in longest}
    if len(labels) != 1 or re.search(r"(?:\bnot|n't|neither|never)\b[^,]*\Z", clause[: longest[0][0]]):
        return None
    return labels.pop()


def _within(inner: tuple[int, int, str], outer: tuple[int, int, str]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1] and outer[:2] != inner[:2]


def _stands_alone(clause: str, start: int, end: int) -> bool:
    """Whole words; a short word only at an end of the clause, where it is not in passing."""
    if _PART_BEFORE.search(clause, max(0, start - 2), start) or _PART_AFTER.match(clause, end):
        return False
    return end - start >= 5 or start == 0 or end == len(clause)
