"""Where the steps of a chain stand: its lines, and the sentences within a line. Pure.

A full stop ends a sentence only before white space, and not in `3.5`, `1.` or `Step 1.` or `(A).` at the beginning of a
step, `e.g.`, `Mr. Smith`, `J. Smith` or an ellipsis that goes on. The full stops of Chinese and Japanese need no white
space. A question mark that stands for something unknown (`A ? B`) and a factorial (`5! = 120`) end nothing.
"""

import regex

from editctl.records import Span

_LINE_BREAK = r"[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]"
_CLOSERS = r"[*_`\"'”’»)\]」』）]*+"
# A run of marks is tried from its first one only: from each of them would take the square of its length.
_STOP = regex.compile(
    rf"(?P<line>{_LINE_BREAK}+)|(?P<wide>[。！？｡]++[」』）”’\"]*+)"
    rf"|(?<![.!?…])(?P<mark>[.!?…]++){_CLOSERS}(?=\s|\Z)"
)
_NAMED = r"(?i:step|part|case|point|stage|phase|rule|premise|statement|move|swap|round|clue|fact|option|item|question)"
_ENUMERATOR = regex.compile(
    rf"[*_#>\"'“‘\s]*(?:[-+•*]\s+)?"
    rf"(?:(?:{_NAMED}\s+)?[(\[]?\p{{N}}{{1,3}}(?:\.\p{{N}}{{1,3}})*|[(\[]?(?:\p{{L}}|[ivxIVX]{{1,5}}))[)\]]?\.[)*_]*"
)
_LISTED = regex.compile(r":\s*1\.\Z")
_BRACKETED = regex.compile(r"[(\[]\p{N}{1,3}\.\Z")
_PLACEHOLDER = regex.compile(r"[\s\"“‘«(\[_]")
_NEXT_LISTED = regex.compile(r"[^\n]{1,400}?\s2\.\s")
_NEVER_LAST = regex.compile(
    r"(?:^|[^\p{L}.])(?:(?i:Mr|Mrs|Ms|Dr|vs|approx|cf|e\.?g|i\.?e|resp)|St|Prof|Gen|Rev|Mt|Sr|Jr)\.\Z"
)
_BEFORE_NUMBER = regex.compile(
    r"(?:^|\W)(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Rs|Figs?|Eqs?|Sec|Vol|Ch|Nos?|pp?)\.\Z"
)
_DOTTED = regex.compile(r"(?:^|[^\p{L}.])\p{L}(?:\.\p{L})+\.\Z")
_INITIAL = regex.compile(r"(?:^|[\s(\"“])(?P<before>\p{Lu}[\p{L}.]*)\s\p{Lu}\.\Z")
_NO_NAME = regex.compile(rf"{_NAMED}|(?i:answer|choice|plan|letter|type|group|class|team|section|box|room)")
_GOES_ON = regex.compile(r"\s+[=<>≤≥≈≠+*/×÷^,;:&|)\]-]")
_BEGINS = regex.compile(r"\s+[\"'“‘«(\[*_]*[\p{Lu}\p{Lt}\p{Lo}]")
_CAPITAL = regex.compile(r"\s+[*_]*\p{Lu}")
_OPENER = regex.compile(
    r"\s+[*_]*(?:The|This|That|These|Those|There|It|Its|So|Thus|Hence|Therefore|Because|Since|We|I|He|She|They|You|In|If"
    r"|However|Note|Now|Next|Then|Finally|First|Second|Step|But|And|As|At|For|From|By|Let|Option|On|After|Both|No)\b"
)
_LONGEST_BEFORE = 24
_NUMBERING = regex.compile(
    rf"""
    [\#>\s]*+
    (?: [-+•–—▪◦‣*]\s++ (?P<bullet>) )?
    (?:
        [*_]*+
        (?: {_NAMED}\s*+\#?\p{{N}}{{1,3}}\s?[:.)–—-]
          | \p{{Lu}}\p{{L}}*+\s\p{{N}}{{1,3}}[:)]
          | [(\[]\p{{N}}{{1,3}}[)\]][:.]?
          | \p{{N}}{{1,3}}[.):]{{1,2}}
        )
        [*_]*+ (?=\s|\Z) (?P<number>)
    )?
    """,
    regex.VERBOSE,
)


def step_spans(text: str) -> tuple[Span, ...]:
    """Where the steps stand: lines, and sentences within a line.

    They are in order, do not overlap, begin and end with a character that is no white space, and hold every such
    character of the text.
    """
    spans: list[Span] = []
    start = 0
    for stop in _STOP.finditer(text):
        if stop["mark"] and _in_sentence(text, start, stop):
            continue
        _add(spans, text, start, stop.start() if stop["line"] else stop.end())
        start = stop.end()
    _add(spans, text, start, len(text))
    return tuple(spans)


def label_span(text: str, step: Span) -> Span:
    """Where the numbering at a step's beginning stands (`Step 3:`, `3.`, `(3)`, `- `); empty where it has none.

    Letters are no numbering: `(A)` at the beginning of a sentence is mostly what the sentence is about.
    """
    start, end = step
    found = _NUMBERING.match(text, start, end)
    if found is None or (found["number"] is None and found["bullet"] is None):
        return start, start
    return start, start + len(text[start : found.end()].rstrip())


def _add(spans: list[Span], text: str, start: int, end: int) -> None:
    """The step between two places, without the white space at its borders."""
    piece = text[start:end]
    inside = piece.strip()
    if inside:
        start += len(piece) - len(piece.lstrip())
        spans.append((start, start + len(inside)))


def _in_sentence(text: str, start: int, stop: regex.Match[str]) -> bool:
    """Whether the sentence that begins at `start` goes on after the stop."""
    after = text[stop.end() : stop.end() + _LONGEST_BEFORE]
    mark = stop["mark"]
    if _GOES_ON.match(after) and mark != ".":
        return True
    if mark == ".":
        return _is_no_full_stop(text, start, stop, after)
    if mark[0] in ".…" and mark.strip(".…") == "":
        return bool(after.strip()) and not _BEGINS.match(after)
    return bool(after.strip()) and bool(_PLACEHOLDER.search(text, max(start, stop.start() - 1), stop.start()))


def _is_no_full_stop(text: str, start: int, stop: regex.Match[str], after: str) -> bool:
    """Whether the single dot belongs to a number, an abbreviation or an initial."""
    dot = stop.start() + 1
    if dot - start <= _LONGEST_BEFORE and _ENUMERATOR.fullmatch(text, start, stop.end()):
        return True
    before = text[max(start, dot - _LONGEST_BEFORE) : dot]
    if _NEVER_LAST.search(before) or _BRACKETED.search(before):
        return True
    if _BEFORE_NUMBER.search(before):
        return after.lstrip()[:1].isdigit()
    if _DOTTED.search(before):
        return not (_OPENER if before[-2].isupper() else _CAPITAL).match(after)
    if _LISTED.search(before):
        return bool(_NEXT_LISTED.match(text, stop.end()))
    initial = _INITIAL.search(before)
    return bool(
        initial and not _NO_NAME.fullmatch(initial["before"]) and _CAPITAL.match(after) and not _OPENER.match(after)
    )
