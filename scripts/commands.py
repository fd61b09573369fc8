"""Write docs/commands.md: every command with its arguments and options, from the code itself.

Run as ``python -m scripts.commands`` (``make docs``).
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

from typer.main import get_command

from postern.cli.root import COMMANDS, HELP

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "commands.md"
HEAD = """\
# Commands

Made by `make docs` from the code; do not edit. `postern COMMAND --help` says the same.

"""


class Parameter(Protocol):
    """What is used of typer's parameters, which it does not export."""

    name: str
    opts: list[str]
    secondary_opts: list[str]
    required: bool
    hidden: bool
    nargs: int
    help: str | None
    param_type_name: str


class Command(Protocol):
    """What is used of typer's commands."""

    help: str | None
    hidden: bool
    params: list[Parameter]


def commands() -> Iterator[tuple[str, Command]]:
    """Every command a person can type, ``"domain add"``, with what typer knows of it."""
    for name, entry in COMMANDS.items():
        if entry.is_foreign:
            continue
        app = importlib.import_module(f"postern.cli.{entry.module}").app
        app._add_completion = False  # noqa: SLF001 - as postern.cli.root does
        root = get_command(app)
        verbs = cast("dict[str, Command]", getattr(root, "commands", {}))
        if not verbs:
            yield name, cast("Command", root)
        for verb, command in verbs.items():
            if not command.hidden:
                is_default = verb == getattr(root, "default_verb", None)
                yield name if is_default else f"{name} {verb}", command


def foreign_commands() -> Iterator[tuple[str, str]]:
    """Commands with another program's arguments: name, and their module's docstring."""
    for name, entry in COMMANDS.items():
        if entry.is_foreign:
            yield name, importlib.import_module(f"postern.cli.{entry.module}").__doc__ or ""


def is_flag(parameter: Parameter) -> bool:
    """Whether an option takes no value."""
    return bool(getattr(parameter, "is_flag", False))


def metavar(parameter: Parameter) -> str:
    """The word for the value: ``ADDRESS``, ``TARGET...``."""
    word = str(getattr(parameter, "metavar", None) or parameter.name.upper())
    return f"{word}..." if parameter.nargs == -1 and not word.endswith("...") else word


def usage(name: str, command: Command) -> str:
    """``postern domain add DOMAIN [--to HOST:PORT] [--json]``."""
    words = ["postern", name]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            word = metavar(parameter)
            words.append(word if parameter.required else f"[{word}]")
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            word = spelling(parameter)
            words.append(word if parameter.required else f"[{word}]")
    return " ".join(words)


def spelling(parameter: Parameter) -> str:
    """``--quota SIZE``, ``--json``, ``--on/--off``."""
    names = max(parameter.opts, key=len)
    if parameter.secondary_opts:
        names += "/" + max(parameter.secondary_opts, key=len)
    return names if is_flag(parameter) else f"{names} {metavar(parameter)}"


def section(name: str, command: Command) -> str:
    """One command's part of the page."""
    lines = [f"## postern {name}", "", "```", usage(name, command), "```", ""]
    lines += [paragraph(command.help or ""), ""]
    for parameter in command.params:
        if parameter.hidden:
            continue
        is_argument = parameter.param_type_name == "argument"
        word = metavar(parameter) if is_argument else spelling(parameter)
        lines.append(f"- `{word}`: {' '.join((parameter.help or '').split())}")
    return "\n".join(lines).rstrip() + "\n"


def paragraph(text: str) -> str:
    """A help text as Markdown, without the marks that keep the terminal from wrapping it."""
    return "\n".join(line.rstrip() for line in text.replace("\b", "").splitlines()).strip()


def page() -> str:
    """The text of docs/commands.md."""
    parts = [HEAD, "```\n" + HELP.replace("{commands}\n", "  listed below\n") + "```\n"]
    parts += [section(name, command) for name, command in commands()]
    parts += [f"## postern {name}\n\n{paragraph(doc)}\n" for name, doc in foreign_commands()]
    return "\n".join(parts)


def undocumented() -> list[str]:
    """Commands, arguments and options that explain nothing."""
    found = []
    for name, command in commands():
        if not (command.help or "").strip():
            found.append(f"postern {name}")
        found += [
            f"postern {name}: {parameter.name}"
            for parameter in command.params
            if not parameter.hidden and not (parameter.help or "").strip()
        ]
    return found


def main() -> None:
    """Write the page; stop when a command or an option explains nothing."""
    if found := undocumented():
        raise SystemExit("these have no help:\n" + "\n".join(found))
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
