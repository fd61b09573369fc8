"""``postern config``: what is wrong with postern.toml, and what may stand in it."""

import json
import sys
from typing import Annotated

import typer

from postern.cli.root import EX_CONFIG
from postern.config.load import check, problem_to_json
from postern.config.problems import Severity
from postern.config.reference import reference

app = typer.Typer(no_args_is_help=True, help="Check postern.toml, print what may stand in it.")


@app.command("check")
def check_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> int:
    """Tell every mistake with file, line, key and fix. Exit: 0 ok, 1 warnings, 78 unusable."""
    checked = check()
    errors = sum(problem.severity is Severity.ERROR for problem in checked.problems)
    warnings = len(checked.problems) - errors
    if as_json:
        problems = [problem_to_json(problem) for problem in checked.problems]
        source = str(checked.config.source) if checked.config else None
        print(
            json.dumps(
                {"schema": 1, "ok": not errors, "file": source, "problems": problems},
                ensure_ascii=False,
            )
        )
    else:
        for problem in checked.problems:
            print(problem)
        print(_verdict(errors, warnings, str(checked.config.source) if checked.config else ""))
    return EX_CONFIG if errors else min(warnings, 1)


@app.command("reference")
def reference_command() -> None:
    """Print every setting, its default and its meaning, as Markdown."""
    sys.stdout.write(reference())


def _verdict(errors: int, warnings: int, source: str) -> str:
    if errors:
        return f"{_count(errors, 'error')}, {_count(warnings, 'warning')}: the server cannot start"
    return f"{source} is fine" if not warnings else f"{_count(warnings, 'warning')} in {source}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
