"""The root of the command line: ``postern [--config FILE] COMMAND … [--json]``.

A command is a module of this room, imported only when it is called, so that ``postern --help``
and each command start in a blink. The module offers ``app``, a ``typer.Typer``; one with a single
command is that command, one with several is a noun with verbs. The file named by ``--config``
reaches it as ``postern.config.load.load(None)`` finds it: in ``$POSTERN_CONFIG``.

``sendmail`` and ``mailq`` take the flags of the programs they stand in for, so they parse their own
arguments: ``main(arguments) -> exit code``.
"""

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from postern import __version__

EX_USAGE = 64
EX_SOFTWARE = 70
EX_CONFIG = 78

DEBUG_VARIABLE = "POSTERN_DEBUG"
"""Set to anything: an unexpected error prints its traceback as well."""


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command lives and what it does, in one line."""

    module: str
    summary: str
    is_foreign: bool = False
    """It has the arguments of another program, and parses them itself."""


COMMANDS = {
    "serve": Command("serve", "run the mail server until SIGTERM"),
    "config": Command("config", "check postern.toml, print the reference of settings"),
    "doctor": Command("doctor", "what hurts or soon will: limits, disk, DNS, certificates"),
    "domain": Command("domain", "domains we serve: add, list, show, set, remove"),
    "mailbox": Command("mailbox", "mailboxes: add, list, show, set, remove"),
    "alias": Command("alias", "aliases: add, list, show, set, remove"),
    "dkim": Command("dkim", "keys that mail is signed with: add, list, show, activate, retire"),
    "rule": Command("rule", "what becomes of mail: allow, block, hold, junk, system, explain"),
    "temporary": Command("temporary", "every exception, and whether it is still needed"),
    "quarantine": Command("quarantine", "mail held by rules: list, show, release, delete"),
    "greylist": Command("greylist", "mail asked to come again: list, pass, forget"),
    "route": Command("route", "which mail leaves through which egress, and policies"),
    "resolver": Command("resolver", "zones looked up through another resolver: add, list, end"),
    "tls": Command("tls", "addresses exempt from TLS, domains that must have it: exempt, require"),
    "why": Command("why", "what happened to a message, and whose side it is"),
    "trace": Command("trace", "everything on file for one trace code"),
    "queue": Command("queue", "what waits and why; hold, release, retry, cancel, reroute"),
    "paths": Command("paths", "MX groups, and how well each way to them does"),
    "sendmail": Command("sendmail", "take a message on stdin, as sendmail(8) does", True),
    "mailq": Command("mailq", "what waits, as mailq(1) prints it", True),
}

HELP = """Usage: postern [--config FILE] COMMAND ... [--json]

A mail server that keeps mail moving, and says why.

Options:
  --config FILE  the configuration; else $POSTERN_CONFIG, ./postern.toml, /etc/postern/postern.toml
  --version      print the version and exit
  -h, --help     print this and exit; after a command: its own help

Commands:
{commands}

Exit: 0 ok, 1 warning, 2 problem, 3 couldn't tell, 4 not found, 64 usage, 69 server not running,
75 temporary, 78 configuration.
"""

FOREIGN_NAMES = {"sendmail": (), "mailq": (), "newaliases": ("-bi",)}
"""Names a symbolic link to ``postern`` may have, and what they put before their arguments."""


@dataclass(frozen=True, slots=True)
class UsageProblem:
    """The command line cannot be understood; ``text`` says why, for people."""

    text: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """The root's own options, and the command with what follows it."""

    command: str
    arguments: tuple[str, ...]
    config: Path | None


def parse(arguments: list[str]) -> Parsed | UsageProblem:
    """Split the command line at the command.

    ``--help`` and ``--version`` are returned as commands, because they take the command's place.
    """
    config: Path | None = None
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name == "--config":
            if not equals and not rest:
                return UsageProblem("--config needs the name of a file")
            config = Path(value if equals else rest.pop(0))
        elif word in {"-h", "--help", "--version"}:
            return Parsed("--help" if word == "-h" else word, (), config)
        elif word.startswith("-"):
            return UsageProblem(f"there is no option {word} here; a command comes first")
        elif word in COMMANDS:
            return Parsed(word, tuple(rest), config)
        else:
            return UsageProblem(unknown_command(word))
    return UsageProblem("no command given; 'postern --help' lists them")


def unknown_command(word: str) -> str:
    """One sentence for a command that does not exist, with the nearest that does."""
    nearest = get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean '{nearest[0]}'?" if nearest else "'postern --help' lists them"
    return f"there is no command {word!r}; {hint}"


def help_text() -> str:
    """What ``postern --help`` prints; imports no command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return HELP.format(commands="\n".join(lines))


def run(parsed: Parsed) -> int:
    """Run one command to its end; returns its exit code."""
    if parsed.command == "--help":
        sys.stdout.write(help_text())
        return 0
    if parsed.command == "--version":
        sys.stdout.write(f"postern {__version__}\n")
        return 0
    if parsed.config is not None:
        os.environ["POSTERN_CONFIG"] = str(parsed.config)
    command = COMMANDS[parsed.command]
    module = importlib.import_module(f"postern.cli.{command.module}")
    if command.is_foreign:
        main: Callable[[list[str]], int] = module.main
        return main(list(parsed.arguments))
    return run_typer(module.app, parsed.command, list(parsed.arguments))


def run_typer(app: object, name: str, arguments: list[str]) -> int:
    """Run a typer application as ``postern NAME``, with usage errors as exit 64.

    Typer would exit 2 for a usage error; 2 means "problem" here, so it is caught before it leaves.
    """
    import typer  # noqa: PLC0415 - help, version and sendmail do without it (80 ms)
    from typer.exceptions import TyperException  # noqa: PLC0415 - 80 ms, as above
    from typer.main import get_command  # noqa: PLC0415 - 80 ms, as above

    if not isinstance(app, typer.Typer):
        message = f"postern.cli.{name} offers no typer application"
        raise TypeError(message)
    app._add_completion = False  # noqa: SLF001 - nobody completes below the root
    try:
        outcome = get_command(app).main(
            args=arguments, prog_name=f"postern {name}", standalone_mode=False
        )
    except typer.Abort:
        return EX_USAGE
    except TyperException as error:
        return print_usage_error(error, name)
    return outcome if isinstance(outcome, int) else 0


def print_usage_error(error: Exception, name: str) -> int:
    """Tell a usage error in one line, or show the help that was asked for by giving nothing."""
    text = str(getattr(error, "format_message", lambda: error)()).strip()
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{text}\n")
        return EX_USAGE
    if "--config" in text:
        text += " --config goes before the command: postern --config FILE COMMAND."
    sys.stderr.write(f"postern {name}: {text}\nTry 'postern {name} --help'.\n")
    return EX_USAGE


def postern_main(arguments: list[str], program: str = "postern") -> int:
    """Run the command line and return its exit code; no exception leaves.

    Args:
        arguments: what follows the program's name.
        program: the program's own name; ``sendmail``, ``mailq`` and ``newaliases`` are understood.
    """
    name = Path(program).name
    if name in FOREIGN_NAMES:
        command = "mailq" if name == "mailq" else "sendmail"
        parsed: Parsed | UsageProblem = Parsed(
            command, (*FOREIGN_NAMES[name], *arguments), config=None
        )
    else:
        parsed = parse(arguments)
    if isinstance(parsed, UsageProblem):
        sys.stderr.write(f"postern: {parsed.text}\n")
        return EX_USAGE
    try:
        code = run(parsed)
        sys.stdout.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has had enough; leave without Python's own complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence, in one sentence
        return report_failure(error)
    return code


def report_failure(error: Exception) -> int:
    """Say in one line what went wrong; configuration problems keep their own text and code."""
    if type(error).__module__.startswith("postern.config"):
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG
    if os.environ.get(DEBUG_VARIABLE):
        import traceback  # noqa: PLC0415 - seldom needed, and each command pays

        traceback.print_exception(error)
    sys.stderr.write(
        f"postern: this should not have happened: {type(error).__name__}: {error}"
        f" (set {DEBUG_VARIABLE}=1 to see where)\n"
    )
    return EX_SOFTWARE
