"""All plots of a report: as figures for the page, and as PNG files for papers."""

from pathlib import Path

from editctl.report.page.dots import comparison_plot, score_plot
from editctl.report.page.drawing import Plot
from editctl.report.page.funnels import funnel_plots
from editctl.report.page.losses import loss_plots
from editctl.report.page.model import Page
from editctl.report.page.ridges import distribution_plots
from editctl.report.page.svg import png


def all_plots(page: Page) -> dict[str, list[Plot]]:
    """The plots of each section, by its name."""
    return {
        "funnel": funnel_plots(page.funnels),
        "distributions": distribution_plots(page.distributions),
        "losses": loss_plots(page.curves),
        "scores": score_plot(page.scores),
        "comparisons": comparison_plot(page.comparisons),
    }


def save_pngs(page: Page, folder: Path) -> list[Path]:
    """Write every plot of the page into `folder` (made where missing), one column wide, 300 dots per inch.

    Returns:
        The files, in the order of the page: funnel.png, distributions-similarity.png, losses-edit.png, scores.png, ...
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for plot in (plot for plots in all_plots(page).values() for plot in plots):
        path = folder / f"{plot.name}.png"
        png(plot, path)
        found.append(path)
    return found
