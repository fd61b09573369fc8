"""``postern trace``: everything on file for one trace code."""

import sys
from typing import Annotated

import typer

from postern.cli.output import ExitCode, JsonFlag, fail
from postern.cli.why import AsciiFlag, open_codes, open_waiting, paper, write
from postern.config.load import load

app = typer.Typer(help="Everything on file for one trace code.")


@app.command()
def trace(
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="Such as PT-7Q2M-K4XD; case does not matter.")
    ],
    as_json: JsonFlag = False,
    ascii_only: AsciiFlag = False,
) -> int:
    """Tell everything about one conversation, with what was said in it where that is kept.

    postern trace PT-7Q2M-K4XD

    Exit: 0 delivered, 1 waiting or held, 2 refused or returned, 3 couldn't tell, 4 not found.
    """
    from postern.diagnosis.trace import trace as look_up  # noqa: PLC0415 - "--help" does without
    from postern.diagnosis.trace import trace_as_json, trace_text  # noqa: PLC0415 - as above
    from postern.journal.search import JournalReader  # noqa: PLC0415 - as above

    config = load(None)
    codes = open_codes(config)
    number = codes.decode(code)
    if number is None:
        fail(ExitCode.USAGE, f"{code!r} is not a trace code, such as PT-7Q2M-K4XD")
    reader = JournalReader(config.data_dir / "journal")
    found = look_up(number, codes.encode(number), reader, open_waiting(config))
    if as_json:
        sys.stdout.write(trace_as_json(found, codes) + "\n")
    else:
        write(trace_text(found, paper(codes, is_ascii=ascii_only)))
    return found.exit.value
