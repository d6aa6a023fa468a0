"""A report as one HTML file that needs nothing but itself.

Every value that a template writes passes `visible` and is escaped. Style and script stand inline and are allowed by
their hashes alone, so no text of a chain could become either, whatever it holds.
"""

import base64
import functools
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from editctl.report.page import data, tokens, wording
from editctl.report.page.model import Page
from editctl.report.page.plots import all_plots
from editctl.report.page.svg import inline
from editctl.report.page.visible import line, visible

_PACKAGE = "editctl.report.page"
SECTIONS = (
    ("funnel", "From questions to training", "funnels"),
    ("distributions", "How alike right and wrong are", "distributions"),
    ("pairs", "Pairs", "pairs"),
    ("trained", "What the trainer saw", "trained"),
    ("training", "Runs and losses", "runs curves"),
    ("scores", "Scores", "scores"),
    ("comparisons", "Paired comparisons", "comparisons"),
    ("outcomes", "Questions and answers", "outcomes"),
    ("lineage", "How it was made", "lineages"),
)
"""Id, heading, and the fields of a Page of which one must hold something."""


def render(page: Page) -> str:
    """The whole HTML of a report; the same page gives the same text."""
    style, script = _text("page.css"), _text("page.js")
    return _environment().get_template("page.html.jinja").render(
        page=page,
        sections=[one for one in SECTIONS if any(getattr(page, field) for field in one[2].split())],
        plots=all_plots(page),
        figures=data.figures(page),
        strongest=tokens.strongest_weights(page.trained),
        score_rows=data.score_rows(page),
        pair_rows=data.pair_rows(page),
        outcome_rows=data.outcome_rows(page),
        first=data.FIRST,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )  # fmt: skip


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, loader=PackageLoader(_PACKAGE, ""), finalize=_finalize,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        percent=wording.percent, number=wording.number, count=wording.count, interval=wording.interval,
        points=wording.points, chance=wording.chance, line=line,
    )  # fmt: skip
    environment.globals.update(
        svg=lambda plot: Markup(inline(plot)),
        embedded=lambda rows: Markup(data.embedded(rows)),
        runs=tokens.runs,
        token_facts=tokens.facts,
        only_weight=tokens.only_weight,
    )
    return environment


def _finalize(value: Any) -> Any:
    """Texts that are no mark-up made visible, before they are escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _text(name: str) -> str:
    """A file of this package."""
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Content security policy: no request of any kind, this style and this script."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
