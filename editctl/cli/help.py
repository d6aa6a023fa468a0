"""What `--help` looks like: short metavars, and one line on variables and --config in place of one for each option."""

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

_METAVARS = {
    "<int>": "N",
    "<int range>": "N",
    "<float>": "X",
    "<float range>": "X",
    "<str>": "TEXT",
    "<list[str]>": "TEXT",
    "<path>": "FILE",
}


def _tidy(params: list[Any], context: Any, *, variables: bool = True) -> list[Any]:
    for param in params:
        if isinstance(param, TyperArgument):
            param.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
        if isinstance(param, TyperOption):
            param.show_envvar = False
            param.allow_from_autoenv = variables
            if param.is_flag and param.default is None:
                param.default = False  # None would make typer import pydantic only to look at it, also for --help
            if param.metavar is None and not param.is_flag:
                param.metavar = _METAVARS.get(str(param.display_type(context)))
    return params


class Command(TyperCommand):
    """A command; its help says once how variables and --config name its options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, dressed for the help."""
        return _tidy(super().get_params(ctx), ctx)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Say where else an option can be set."""
        formatter.write_paragraph()
        formatter.write_text(
            f"Every option can also be set as {ctx.auto_envvar_prefix}_OPTION in the environment"
            + (" or as `option: value` in the file of --config." if "config" in _names(self) else ".")
        )


class Group(TyperGroup):
    """A group of commands; a command of ours stands in the order in which it was added."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; those of the root (version, completion) can't come from variables by accident."""
        return _tidy(super().get_params(ctx), ctx, variables=ctx.parent is not None)


def _names(command: TyperCommand) -> set[str | None]:
    return {param.name for param in command.params}
