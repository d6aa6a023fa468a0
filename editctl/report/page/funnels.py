"""The funnel from questions to what was trained on, as bars."""

from editctl.report.page.drawing import BLUE, GROUND, MUTED, Plot, bare, distinct, house_style, sheet, slug
from editctl.report.page.model import Funnel, FunnelStep
from editctl.report.page.visible import line
from editctl.report.page.wording import count, percent

_ROW = 0.3


def funnel_plots(funnels: tuple[Funnel, ...]) -> list[Plot]:
    """A plot for each funnel that has steps."""
    found = [funnel for funnel in funnels if funnel.steps]
    names = distinct([f"funnel-{slug(funnel.name)}".strip("-") for funnel in found]) if len(found) > 1 else ["funnel"]
    return [_plot(funnel, name) for funnel, name in zip(found, names, strict=False)]


def source(steps: tuple[FunnelStep, ...], place: int) -> FunnelStep | None:
    """The step that a step comes after: the one that it names, or the one before."""
    before = steps[:place]
    named = [step for step in before if step.label == steps[place].after]
    return named[-1] if named else before[-1] if before else None


def gone(steps: tuple[FunnelStep, ...], place: int) -> int:
    """How many were lost on the way to a step."""
    before = source(steps, place)
    return max(before.count - steps[place].count, 0) if before else 0


def kept(steps: tuple[FunnelStep, ...], place: int) -> float | None:
    """Share of those of the step before that came to a step."""
    before = source(steps, place)
    return steps[place].count / before.count if before and before.count else None


def _plot(funnel: Funnel, name: str) -> Plot:
    steps = funnel.steps
    with house_style():
        figure, axes = sheet(_ROW * len(steps) + 0.1)
        most = max(*(step.count for step in steps), 1)
        for place, step in enumerate(steps):
            axes.barh(place, step.count / most, height=0.36, color=BLUE)
            lost = gone(steps, place) / most
            hatched = {"facecolor": GROUND, "edgecolor": MUTED, "hatch": "/////", "lw": 0.4}
            axes.barh(place, lost, left=step.count / most, height=0.36, **hatched)
            axes.text(0, place - 0.27, line(step.label, 44), va="bottom")
            axes.text(1, place - 0.27, count(step.count), va="bottom", ha="right", fontweight="bold")
        axes.set(xlim=(0, 1), ylim=(len(steps) - 0.7, -0.75))
        bare(axes)
        axes.set_axis_off()
    told = ", ".join(f"{line(step.label)} {step.count}" for step in steps) + "."
    return Plot(
        name=name, caption="How many came how far; hatched is what was lost on the way.",
        told=f"{line(funnel.name)}: {told}", figure=figure,
        columns=("step", "count", "of the step before"),
        rows=tuple((line(one.label), count(one.count), percent(kept(steps, place))) for place, one in enumerate(steps)),
    )  # fmt: skip
