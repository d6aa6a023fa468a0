"""All plots of a report: as figures for the page, and as PNG files for papers."""

import tempfile
from pathlib import Path

from editctl.errors import UsageError
from editctl.files import disk_errors
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

    Raises:
        UsageError: a folder stands where a file should go.
        OutputError: the folder can't be made or written to. Either way what stood there before stands there still.
    """
    drawn = [(plot, folder / f"{plot.name}.png") for plots in all_plots(page).values() for plot in plots]
    with disk_errors(str(folder)):
        for _, path in drawn:
            if path.is_dir():
                raise UsageError(f"{path}: is a folder; move it away, or name another folder for the plots")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".plots-", dir=folder) as aside:
            for plot, path in drawn:
                png(plot, Path(aside, path.name))
            for _, path in drawn:
                Path(aside, path.name).replace(path)
    return [path for _, path in drawn]
