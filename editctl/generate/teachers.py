"""A teacher's name on the command line -> a teacher."""

from collections.abc import Mapping

from editctl import options, registry
from editctl.errors import UsageError, near_misses
from editctl.interfaces import Teacher


def find_teacher(spec: str, values: Mapping[str, str]) -> Teacher:
    """`oracle`, `recorded:FILE,...`, a plugin, `file.py:Name`, or any litellm model string.

    Raises:
        UsageError: an unknown teacher or option (with near misses), or an argument it can't use.
    """
    name, _, argument = spec.partition(":")
    known = registry.names("teachers")
    if name in known and name != "litellm":
        return _build(name, argument, values)
    if registry.is_reference(spec):
        return _build(spec, "", values)
    model = argument if name == "litellm" else spec
    if "/" not in model and not registry.load("teachers", "litellm").knows(model):
        raise UsageError(
            f"unknown teacher {spec!r}; {near_misses(name, known)} "
            "or a model as litellm names it, such as openai/gpt-4o-mini"
        )
    return _build("litellm", model, values)


def _build(name: str, argument: str, values: Mapping[str, str]) -> Teacher:
    cls = registry.load("teachers", name)
    teacher: Teacher = cls(argument, options.fill(cls.Options, values, f"teacher {name}"))
    return teacher
