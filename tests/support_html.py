"""A page of HTML taken apart: a tree of elements whose every tag is closed where it should be."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = ("meta", "link", "input", "br", "hr", "img")


@dataclass
class Element:
    """An element, its attributes, and what is in it, in order."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(one if isinstance(one, str) else one.text for one in self.children)

    @property
    def shown(self) -> str:
        """The text without what is said to screen readers alone."""
        if "unseen" in self.attributes.get("class", "").split():
            return ""
        return "".join(one if isinstance(one, str) else one.shown for one in self.children)

    def all(self, tag: str = "", **attributes: str) -> Iterator["Element"]:
        """Elements below it of a tag and with these attributes (`class_`: one of its classes)."""
        for one in self.children:
            if isinstance(one, str):
                continue
            if tag in ("", one.tag) and all(one._has(name, value) for name, value in attributes.items()):
                yield one
            yield from one.all(tag, **attributes)

    def _has(self, name: str, value: str) -> bool:
        if name == "class_":
            return value in self.attributes.get("class", "").split()
        return self.attributes.get(name) == value


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")


def parse(text: str) -> Element:
    """The page as a tree; AssertionError where a tag is not closed, closed twice or in the wrong order."""
    builder = _Builder()
    builder.feed(text)
    builder.close()
    assert len(builder.open) == 1, f"<{builder.open[-1].tag}> stays open"
    return builder.open[0]
