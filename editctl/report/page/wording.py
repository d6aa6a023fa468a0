"""Numbers in words: per cent, points, counts, intervals. One way of writing them for plots, tables and texts."""


def percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent; a dash where there is none."""
    return "–" if share is None or share != share else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 4) -> str:
    """A number of so many digits; a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.{digits}g}".replace("-", "\u2212")


def count(value: float) -> str:
    """A count with thin spaces between thousands; half questions keep their fraction."""
    whole = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return whole.replace(",", "\u202f")


def interval(low: float | None, high: float | None) -> str:
    """An interval of shares in per cent; a dash where there is none."""
    return "–" if low is None or high is None else f"{percent(low).removesuffix(' %')} to {percent(high)}"


def chance(p: float | None) -> str:
    """A p value; a dash where there is none."""
    return "< 0.001" if p is not None and p < 0.001 else number(p, 2)


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "\u2212")
