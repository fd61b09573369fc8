"""Names of MX groups: who really serves a domain, as far as the names of its mail hosts tell.

The rule: the organisation's part of each host's name, which is its last two labels, or three where
the last two are a public suffix such as ``co.uk``. One organisation for all hosts names the group
(``google.com``); several are joined (``a.example+b.example``). A domain without MX is its own
group. It is a rule of names alone, so it costs no look-up and never changes with the order in which
hosts are tried; providers that serve one domain under several names still look like several.
"""

from collections.abc import Iterable
from hashlib import blake2b

LOCAL = "local"
"""The group of our own mailboxes."""
MAX_JOINED = 3

# fmt: off
_SECOND_LEVELS = frozenset({
    "ac", "asn", "co", "com", "ed", "edu", "firm", "gen", "go", "gob", "gouv", "gov", "gub",
    "gv", "id", "ind", "info", "int", "ltd", "me", "mil", "muni", "ne", "net", "nhs", "nic",
    "nom", "or", "org", "oz", "plc", "police", "pri", "res", "sch", "school", "web",
})
# fmt: on
"""What registries under a country's two letters sell names below."""


def group_of_hosts(hosts: Iterable[str]) -> str:
    """The group served by these mail hosts (lower-case names or IP addresses, at least one)."""
    organisations = sorted({organisation(host) for host in hosts})
    if len(organisations) > MAX_JOINED:
        # Bounded, and still one name for one set: zones may list hundreds of hosts.
        digest = blake2b("+".join(organisations).encode(), digest_size=4).hexdigest()
        organisations = [*organisations[: MAX_JOINED - 1], digest]
    return own_name("+".join(organisations))


def organisation(host: str) -> str:
    """The organisation's part of a host name; an IP address is its own.

    ``mx1.tea.co.uk`` gives ``tea.co.uk``, ``alt1.aspmx.l.google.com`` gives ``google.com``.
    """
    labels = host.split(".")
    if ":" in host or labels[-1].isdigit():
        return host
    keep = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVELS else 2
    return ".".join(labels[-keep:])


def own_name(group: str) -> str:
    """``group``, unless a stranger's name would put his mail among our own mailboxes'."""
    return "local." if group == LOCAL else group
