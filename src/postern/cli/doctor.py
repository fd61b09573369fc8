"""``postern doctor``: what hurts the server or soon will, whose side it is, and what to do."""

import json
from typing import Annotated

import typer

from postern.config.load import load
from postern.config.settings import Config
from postern.diagnosis.doctor_results import (
    CertificateFiles,
    Door,
    Grade,
    NamedServer,
    Result,
    Sender,
    Site,
    exit_code,
)
from postern.runtime.processes import worker_count

app = typer.Typer(help="Look for what hurts or soon will.")

MARKS = {
    Grade.OK: "ok      ",
    Grade.WARNING: "warning ",
    Grade.PROBLEM: "PROBLEM ",
    Grade.COULDNT_TELL: "?       ",
}
"""Words, because colours do not survive a pipe or a printout."""

SPARE_FILES = 200


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> int:
    """Look at limits, disk, clock, DNS, ports, workers, scanners, certificates and the data.

    Exit: 0 ok, 1 warning, 2 problem, 3 couldn't tell.
    """
    from postern.diagnosis.doctor import examine  # noqa: PLC0415 - not for --help
    from postern.runtime.clock import SystemClock  # noqa: PLC0415 - not for --help

    results = examine(site_of(load()), SystemClock())
    if as_json:
        print(json.dumps({"schema": 1, "results": [to_json(r) for r in results]}))
    else:
        for result in sorted(results, key=lambda r: list(MARKS).index(r.grade)):
            print(to_text(result))
        print(summary(results))
    return exit_code(results)


def to_json(result: Result) -> dict[str, str]:
    """The result with stable keys."""
    return {
        "check": result.check,
        "result": result.grade.value,
        "what": result.what,
        "whose": result.whose,
        "fix": result.fix,
    }


def to_text(result: Result) -> str:
    """One line, and a second with what to do."""
    fix = f"\n{'':8}  -> {result.fix}" if result.fix and result.grade is not Grade.OK else ""
    return f"{MARKS[result.grade]}{result.check}: {result.what}{fix}"


def summary(results: list[Result]) -> str:
    """How many of each, worst first."""
    names = ((Grade.PROBLEM, "problem"), (Grade.WARNING, "warning"))
    parts = []
    for grade, name in names:
        count = sum(result.grade is grade for result in results)
        parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    unknown = sum(result.grade is Grade.COULDNT_TELL for result in results)
    return ", ".join([*parts, f"{unknown} couldn't tell", f"{len(results)} looked at"])


def site_of(config: Config) -> Site:
    """What the doctor needs to know of the configuration."""
    from postern.app.settings import resolver_settings, scanners_of  # noqa: PLC0415 - not for --help

    workers = worker_count(config.workers)
    files = config.limits.connections // workers + config.delivery.slots // workers + SPARE_FILES
    return Site(
        hostname=config.hostname,
        data_dir=config.data_dir,
        run_dir=config.run_dir,
        user=config.user,
        workers=workers,
        doors=doors_of(config),
        resolvers=tuple(
            NamedServer(r.name, server.host, server.port, r.transport, r.timeout_s, r.trusted)
            for r in config.resolvers
            for server in r.servers
        ),
        certificates=tuple(CertificateFiles(c.cert, c.key) for c in config.certificates),
        need_bytes=2 * config.limits.max_message_bytes + config.spool.reserve_bytes,
        need_files=files,
        has_ballast=config.spool.ballast_bytes > 0,
        scanners=scanners_of(config, 0, 1),
        largest_bytes=config.limits.max_message_bytes,
        relays=tuple(egress.name for egress in config.egresses if egress.relay),
        senders=senders_of(config),
        blocklists=tuple(
            b.zone for b in config.blocklists if b.about == "addresses" and not b.allow
        ),
        lookups=tuple(resolver_settings(config)),
        secrets=(
            *(c.key for c in config.certificates),
            *(e.password_file for e in config.egresses if e.password_file is not None),
        ),
    )


def senders_of(config: Config) -> tuple[Sender, ...]:
    """Ways out that others see; a relay's address is its own affair."""
    direct = [egress for egress in config.egresses if not egress.relay]
    if not config.egresses:
        return (Sender("direct", "", config.hostname),)
    return tuple(Sender(e.name, e.source, e.helo or config.hostname) for e in direct)


def doors_of(config: Config) -> tuple[Door, ...]:
    """Every place we listen at, the console's last."""
    places = [(f"listener[{n + 1}].bind", item.bind) for n, item in enumerate(config.listeners)]
    places.append(("console.bind", config.console.bind))
    return tuple(
        Door(setting, str(bind), bind.host, bind.port, bind.path) for setting, bind in places
    )
