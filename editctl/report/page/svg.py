"""A figure as SVG that can stand in a page: colours are CSS variables, ids are the page's own, no style of its own.

matplotlib writes a style sheet that would hold for the whole page and `style` attributes that a content security policy
forbids; both become presentation attributes.
"""

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

from editctl.report.page.drawing import COLOURS, Plot, house_style
from editctl.report.page.visible import visible

_SVG, _LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
_NO_DATE = {"Date": None, "Creator": None, "Format": None, "Type": None}
_VARIABLES = {colour: f"var(--{name})" for name, colour in COLOURS.items()}
_NUMBER = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_DROPPED = ("font-family", "font")


def inline(plot: Plot) -> str:
    """The plot as an `svg` element with a text alternative."""
    buffer = io.StringIO()
    with house_style():
        plot.figure.savefig(buffer, format="svg", metadata=_NO_DATE, transparent=True)
    root = ET.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in [one for one in parent if one.tag == f"{{{_SVG}}}style" or one.tag.endswith("metadata")]:
            parent.remove(child)
    used = _references(root)
    for element in root.iter():
        _clean(element, f"figure-{plot.name}", used)
    _flatten(root)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    label = visible(f"{plot.caption} {plot.told}")
    root.attrib.update({"role": "img", "class": "plot", "stroke-linejoin": "round", "aria-label": label})
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _references(root: ET.Element) -> set[str]:
    """Ids that something refers to."""
    links = {element.attrib[_LINK][1:] for element in root.iter() if _LINK in element.attrib}
    values = " ".join(value for element in root.iter() for value in element.attrib.values())
    return links | set(_REFERENCE.findall(values))


def _clean(element: ET.Element, name: str, used: set[str]) -> None:
    """Turn one element's attributes into those of the page."""
    found = dict(element.attrib)
    element.attrib.clear()
    for key, value in [*found.items(), *_declarations(found.pop("style", ""))]:
        if key == "style" or key in _DROPPED or (key == "id" and value not in used):
            continue
        if key == "transform" and value.startswith("rotate(-0 "):
            continue
        element.attrib["href" if key == _LINK else key] = _value(key, value, name)
    element.tail = None
    if not element.tag.endswith("}text") and not element.tag.endswith("}tspan"):
        element.text = None


def _declarations(style: str) -> list[tuple[str, str]]:
    pairs = (one.partition(":") for one in style.split(";") if ":" in one)
    return [(key.strip(), value.strip()) for key, _, value in pairs]


def _value(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == _LINK:
        return f"#{name}-{value[1:]}"
    value = _REFERENCE.sub(rf"url(#{name}-\1)", _VARIABLES.get(value, value))
    value = value.removesuffix("px") if key == "font-size" else value
    short = _NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), " ".join(value.split()))
    return _path(short) if key == "d" else short


def _path(data: str) -> str:
    """A path without the letters that are understood: what follows a move or a line is a line."""
    found, before = [], ""
    for word in data.split():
        if not (word == "L" and before in ("L", "M")):
            found.append(word)
        before = word if word.isalpha() else before
    return " ".join(found)


def _flatten(parent: ET.Element) -> None:
    """Replace groups that say nothing by what is in them, and drop those that are empty."""
    kept: list[ET.Element] = []
    for child in list(parent):
        _flatten(child)
        bare = child.tag in (f"{{{_SVG}}}g", f"{{{_SVG}}}defs") and not child.attrib
        if child.tag == f"{{{_SVG}}}g" and bare:
            kept += list(child)
        elif len(child) or not bare:
            kept.append(child)
    parent[:] = kept


def png(plot: Plot, path: Any) -> None:
    """Write the plot as a PNG file of 300 dots per inch on white."""
    with house_style():
        plot.figure.savefig(path, format="png", dpi=300, facecolor="#ffffff", metadata={"Software": None})
