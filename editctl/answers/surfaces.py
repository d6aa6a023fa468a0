"""How an answer looks in running text: where its sentence ends, what is wrapped around it.

Knows nothing of conclusions, questions or answer kinds. A full stop ends a sentence only before white
space or the end, and not in `3.5`, `U.S.`, `Mr. Smith` or `A. purple ball`.
"""

import re
import unicodedata
from functools import lru_cache

_MOST_PASSES = 20

_CLOSERS = r"(?:[*_`\"'”’)\]$]|\\[)\]])*+"
_STOP = re.compile(rf"\n|[.!?。]{_CLOSERS}(?=\s|\Z)|(?<=[0-9)\]])\.(?=[A-Z][a-z])")
_TITLE = re.compile(r"(?:^|\W)(?:(?i:Mr|Mrs|Ms|Dr)|St|Prof|Gen|Rev|Mt|vs|approx|e\.g|i\.e|cf)\Z")
_BEFORE_NUMBER = re.compile(r"(?:^|\W)(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Rs|Fig|Eq)\Z")
_DOTTED = re.compile(r"(?:^|\W)[A-Za-z]\.[A-Za-z]\Z")
_LETTER = re.compile(r"(?:^|[\s(\"'“‘*_])[A-Z]\Z")
_ENUMERATED = re.compile(r"[\s:*]*1\.\s+[^\n]{1,200}?\s2\.\s+\S")
_ITEM = re.compile(r"(?:^|[\s:*])[0-9]{1,2}\Z")
_NEW_SENTENCE = re.compile(
    r"\s+(?:The|This|That|It|So|Thus|Hence|Therefore|Because|We|I|He|She|They|In|If|However|Note)\b"
)
_EXPLAINS = re.compile(r"\s+Explanation:")
_AFTER_LETTER = re.compile(r"[ \t]+(?:[a-z0-9$(]|[A-Z]\.|[A-Z]\w*(?: [A-Z]\w*)?[*_\"'”’)]*\s*(?:\.|\Z))")
_WRAPPERS = (
    ("**", "**"), ("__", "__"), ("*", "*"), ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"),
    ("`", "`"), ('"', '"'), ("“", "”"), ("'", "'"), ("‘", "’"),
)  # fmt: skip
_NO_ANSWER_YET = re.compile(r"\A(?:[\s:]|[*_]++(?=[\s:]|\Z))++")
_COMMAND = re.compile(r"\\(?:boxed|fbox|text\w*|mathrm|mathbf|mathit|operatorname)[ ]?\{")
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]{1,60})\}\{([^{}]{1,60})\}")
_INNER_COMMAND = re.compile(r"\\(?:boxed|fbox|text\w*|math\w+|operatorname)[ ]?\{([^{}]*)\}")
_SPACING = re.compile(r"\\(?:left|right|[,;:! ()\[\]])|\\(?=[$%#&{}])")
_TYPOGRAPHY = str.maketrans({"−": "-", "–": "-", "\xa0": " ", "’": "'", "‘": "'", "“": '"', "”": '"'})
# Escape sequences of terminals, all other controls that are no white space, and marks without width.
_UNSEEN = re.compile(
    r"(?:\x1b\[|\x9b)[0-9;:?<=>]*[@-~]|\x1b\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\)"
    r"|[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
_SHOWN = bytes([*b"\t\n\v\f\r\x1c\x1d\x1e\x1f", *range(32, 127)])
"""All of ASCII that is not unseen."""
_SEPARATORS = {"٫": ".", "٬": ",", "\u3000": " "}
_POWER = re.compile(r"(?<=[0-9)])\s?\*\*\s?(?=-?[0-9])|(?<=[0-9)])\*\*(?=[xyzn]\b)")


@lru_cache(maxsize=256)
def settle(surface: str) -> str:
    """The first sentence of an answer, without its full stop and without markup or quotes around it.

    The last dot of `U.S.` goes, too: at the end of a sentence it is the full stop.
    """
    for _ in range(_MOST_PASSES):
        text = surface.strip()
        settled = _unwrap(text[: sentence_end(text, 0, len(text))])
        if settled == surface:
            break
        surface = settled
    return surface


def visible(text: str) -> str:
    """The text as a reader sees it: without terminal escapes, other controls, and marks that have no width."""
    odd = text.encode("utf-8", "surrogatepass").translate(None, _SHOWN)
    # Most texts hold nothing odd, and looking at the odd alone is much faster than looking at all of the text.
    return _UNSEEN.sub("", text) if odd and _UNSEEN.search(odd.decode("utf-8", "surrogatepass")) else text


def seen_places(text: str) -> list[int]:
    """The index in the text of each character of `visible(text)`, then the length of the text."""
    hidden = {at for found in _UNSEEN.finditer(text) for at in range(found.start(), found.end())}
    return [at for at in range(len(text)) if at not in hidden] + [len(text)]


def ascii_forms(text: str) -> str:
    """The text with full-width characters and the decimal digits of any script as ASCII ones, one for one.

    Not by a compatibility normalisation: that makes `3²` a 32.
    """
    return text if text.isascii() else "".join(map(_ascii_form, text))


def _ascii_form(character: str) -> str:
    if "！" <= character <= "～":
        return chr(ord(character) - ord("！") + ord("!"))
    digit = unicodedata.decimal(character, None)
    return _SEPARATORS.get(character, character) if digit is None else str(digit)


def with_carets(text: str) -> str:
    """The text with the power signs of `3**2` as carets, so that they are not taken for markdown."""
    return _POWER.sub("^", text) if "**" in text else text


def plain(text: str) -> str:
    """The answer without markdown and LaTeX inside it, typographic minus signs and quotes made plain ones.

    What can't be seen goes; digits of any script become ASCII ones; `3**2` becomes `3^2`.

    Not for bracket strings, whose braces LaTeX uses too.
    """
    text = with_carets(ascii_forms(visible(text).translate(_TYPOGRAPHY)))
    if "\\" in text:
        text = _FRACTION.sub(r" \1/\2", text)
        for _ in range(3):
            text = _INNER_COMMAND.sub(r"\1", text)
        text = _SPACING.sub("", text.replace("\\times", "*").replace("\\cdot", "*"))
    return text.replace("**", "").replace("`", "").replace("{,}", ",").strip()


def sentence_end(text: str, start: int, limit: int) -> int:
    """Where the sentence (or the line) that `start` stands in ends, full stop and closing marks included."""
    for stop in _STOP.finditer(text, start, limit):
        if stop[0] == "\n":
            return stop.start()
        if stop.end() == limit or not _goes_on(text, start, stop, limit):
            return stop.end()
    return limit


def _goes_on(text: str, start: int, stop: re.Match[str], limit: int) -> bool:
    """Whether the dot belongs to an abbreviation, an initial or an option's letter."""
    before = text[max(start, stop.start() - 12) : stop.start()]
    after = text[stop.end() : min(limit, stop.end() + 60)]
    if not stop[0].startswith(".") or not after.split("\n", 1)[0].strip() or _EXPLAINS.match(after):
        return False
    if _ITEM.search(before) and _ENUMERATED.match(text, start, limit):
        return True
    if _DOTTED.search(before):
        return not _NEW_SENTENCE.match(after)
    if _LETTER.search(before):
        return bool(_AFTER_LETTER.match(after))
    return bool(_TITLE.search(before) or (_BEFORE_NUMBER.search(before) and after.lstrip()[:1].isdigit()))


def _unwrap(text: str) -> str:
    """Take one layer of wrappers off."""
    text = _without_orphans(_NO_ANSWER_YET.sub("", text).strip().rstrip(".。 \t"))
    for opens, closes in _WRAPPERS:
        if len(text) >= len(opens) + len(closes) and text.startswith(opens) and text.endswith(closes):
            inside = text[len(opens) : -len(closes)]
            if opens not in inside and closes not in inside:
                return inside.strip()
    command = _COMMAND.match(text)
    if command and text.endswith("}") and _closes_at(text, command.end()) == len(text) - 1:
        return text[command.end() : -1].strip()
    return text


def _without_orphans(text: str) -> str:
    """Drop a closing mark whose partner stands before the answer, as in `**The answer is 7.**`."""
    for mark in ("**", "__", "*"):
        if text.count(mark) == 1:
            text = text.removeprefix(mark).removesuffix(mark).strip()
    if text[-2:-1] in tuple(".!?") and (
        (text[-1] in "\"'`$" and text.count(text[-1]) % 2)
        or (text[-1] in ")”’" and text.count("(“‘"[")”’".index(text[-1])]) < text.count(text[-1]))
    ):
        return text[:-1]
    return text


def _closes_at(text: str, inside: int) -> int:
    depth = 1
    for brace in re.finditer(r"[{}]", text[inside:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return inside + brace.start()
    return -1
