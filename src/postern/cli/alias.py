"""``postern alias``: addresses that lead to others."""

from typing import Annotated

import typer

from postern.cli.output import (
    JsonFlag,
    JsonObject,
    note,
    print_facts,
    print_json,
    print_json_list,
    print_table,
    say,
)
from postern.cli.site import granted, open_site
from postern.directory.model import Alias
from postern.directory.store.site import SiteStore
from postern.runtime.clock import rfc3339

app = typer.Typer(
    help="Aliases: addresses whose mail goes to others, here or anywhere.", no_args_is_help=True
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS", help="Such as sales@harbour.example; postmaster alone: the whole site's."
    ),
]
Targets = Annotated[
    list[str], typer.Argument(metavar="TARGET...", help="Where its mail goes: one or more.")
]


@app.command()
def add(name: Name, targets: Targets, as_json: JsonFlag = False) -> None:
    """Send mail for an address to others.

    postern alias add sales@harbour.example wang@harbour.example li@tea.example

    A mailbox's own name is an alias when it is among the targets: it keeps a copy.

    postern alias add wang@harbour.example wang@harbour.example li@tea.example
    """
    with open_site() as site:
        alias = granted(site.add_alias(name, targets))
        _tell(site, alias, "added", as_json=as_json)


@app.command("list")
def list_(
    domain: Annotated[
        str | None, typer.Argument(metavar="[DOMAIN]", help="Only those of this domain.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Aliases by domain and name; the site's postmaster first, where one is set."""
    with open_site() as site:
        found = granted(site.aliases(domain))
        if as_json:
            print_json_list("aliases", map(_fields, found))
            return
        print_table(
            ("ALIAS", "GOES TO"),
            ((str(alias.address), ", ".join(map(str, alias.targets))) for alias in found),
        )


@app.command()
def show(name: Name, as_json: JsonFlag = False) -> None:
    """One alias."""
    with open_site() as site:
        alias = granted(site.alias(name))
        missing = [str(target) for target in site.missing_targets(alias)]
    if as_json:
        print_json({"alias": {**_fields(alias), "missing": missing}})
        return
    facts = [("goes to", str(target)) for target in alias.targets]
    if missing:
        facts.append(("missing", ", ".join(missing)))
    if alias.id:
        facts.append(("since", rfc3339(alias.created_at)))
    print_facts(str(alias.address), facts)


@app.command("set")
def set_(name: Name, targets: Targets, as_json: JsonFlag = False) -> None:
    """Give an alias other targets, in place of all it had."""
    with open_site() as site:
        alias = granted(site.set_alias(name, targets))
        _tell(site, alias, "set", as_json=as_json)


@app.command()
def remove(name: Name, as_json: JsonFlag = False) -> None:
    """Remove an alias; the mailboxes it led to stay."""
    with open_site() as site:
        alias = granted(site.remove_alias(name))
    if as_json:
        print_json({"action": "removed", "alias": _fields(alias)})
    else:
        say(f"Removed {alias.address}.")


def _tell(site: SiteStore, alias: Alias, action: str, *, as_json: bool) -> None:
    missing = [str(target) for target in site.missing_targets(alias)]
    if as_json:
        print_json({"action": action, "alias": {**_fields(alias), "missing": missing}})
    else:
        verb = "Added" if action == "added" else "Changed"
        goes_to = ", ".join(str(target) for target in alias.targets)
        say(f"{verb} {alias.address}; its mail goes to {goes_to}.")
    if missing:
        note(f"nothing here answers for {', '.join(missing)} yet, so those copies go nowhere")


def _fields(alias: Alias) -> JsonObject:
    return {
        "address": str(alias.address),
        "targets": [str(target) for target in alias.targets],
        "created_at": rfc3339(alias.created_at) if alias.id else None,
    }
