"""A DKIM key as commands show it: the record to publish, and its JSON."""

from postern.cli.output import JsonObject, say
from postern.directory.dkim import DkimKey
from postern.mail.dkim.record import zone_line
from postern.runtime.clock import rfc3339


def print_record(key: DkimKey) -> None:
    """The record as a line of a zone file."""
    say(zone_line(key.selector, key.domain, key.record_text))


def fields(key: DkimKey) -> JsonObject:
    """A key as ``--json`` has it, without its private half."""
    return {
        "domain": key.domain,
        "selector": key.selector,
        "kind": key.kind,
        "bits": key.bits,
        "state": key.state.value,
        "since": rfc3339(key.since),
        "record": {"name": key.record_name, "type": "TXT", "value": key.record_text},
    }
