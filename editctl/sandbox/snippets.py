"""Take the program, or the equations, out of what a model wrote. Knows no stage."""

import re
import textwrap

LONGEST = 100_000
"""Characters of a text that are worth running: nothing a model writes as an answer is longer."""

PYTHON_FENCES = ("python", "py", "python3", "pycon")
"""Marks of fences that hold a program."""
EQUATION_FENCES = ("", "equations", "eot", "text")
"""Marks of fences that hold equations."""
_FENCE = re.compile(
    r"^[ \t]*(?:```|~~~)[ \t]*(?P<language>[\w+-]*)[^\n]*\n(?P<body>.*?)(?:^[ \t]*(?:```|~~~)|\Z)", re.M | re.S
)
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_NOTHING = re.compile("[\ufeff\u200b-\u200d\u2060\x1c-\x1f]")
_PROMPT = re.compile(r"^[ \t]*(?:>>>|\.\.\.)(?: |$)")
_ALL_OF_MATH = re.compile(r"^(?P<before>[ \t]*from[ \t]+math[ \t]+import)[ \t]+\*(?=[ \t]*(?:$|[;#]))", re.M)
_SOLUTION = re.compile(r"^def[ \t]+solution[ \t]*\([ \t]*\)", re.M)
MATH_NAMES = (
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "comb", "copysign", "cos", "cosh",
    "degrees", "dist", "e", "erf", "erfc", "exp", "exp2", "expm1", "fabs", "factorial", "floor", "fmod", "frexp",
    "fsum", "gamma", "gcd", "hypot", "inf", "isclose", "isfinite", "isinf", "isnan", "isqrt", "lcm", "ldexp",
    "lgamma", "log", "log10", "log1p", "log2", "modf", "nan", "nextafter", "perm", "pi", "pow", "prod", "radians",
    "remainder", "sin", "sinh", "sqrt", "tan", "tanh", "tau", "trunc", "ulp",
)  # fmt: skip
"""What `from math import *` brings; the interpreter has no star imports, and programs often have this one."""


def program_text(text: str) -> str:
    """The Python of a model's text as it is run: `written_program`, and star imports of `math` spelt out."""
    program = written_program(text)
    return _ALL_OF_MATH.sub(lambda found: f"{found['before']} {', '.join(MATH_NAMES)}", program)


def written_program(text: str) -> str:
    """The Python of a model's text, its line numbers those of the fenced block where there is one."""
    lines = unfenced(text, PYTHON_FENCES).expandtabs(8).split("\n")
    return _first_line_flush(textwrap.dedent("\n".join(_without_prompts(lines))))


def unfenced(text: str, languages: tuple[str, ...]) -> str:
    """What stands in fences (those of one of the languages, else those without a language), else the whole text.

    Several blocks are joined in their order. Line ends become `\\n`, unusual spaces plain ones, and characters of no
    width go: each of them is an error in a program, and a reader of the text sees none of them.
    """
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    text = _NOTHING.sub("", _SPACES.sub(" ", text))
    blocks = [(found["language"].lower(), found["body"]) for found in _FENCE.finditer(text)]
    named = [body for language, body in blocks if language in languages]
    return "\n".join(named or [body for language, body in blocks if not language]) or text


def calls_solution(program: str) -> bool:
    """Whether the program defines `solution()` without arguments at its top level."""
    return bool(_SOLUTION.search(program))


def _without_prompts(lines: list[str]) -> list[str]:
    """A session of the interactive interpreter without its prompts and its output."""
    prompted = [line for line in lines if line.lstrip().startswith(">>>")]
    if not prompted or not next(filter(str.strip, lines)).lstrip().startswith(">>>"):
        return lines
    kept = lines if len(prompted) == 1 else [line if _PROMPT.match(line) else "" for line in lines]
    return [_PROMPT.sub("", line) for line in kept]


def _first_line_flush(program: str) -> str:
    """An indented first statement is always an error: a model that goes on after `:` begins with a space."""
    start = re.match(r"(?:[ \t]*\n)*(?P<indent>[ \t]+)(?=\S)", program)
    return program[: start.start("indent")] + program[start.end() :] if start else program
