"""Names of MX groups: who really serves a domain, as far as the names of its mail hosts tell.

Where all hosts are one provider's, the group is that provider (``google``, see ``providers``).
Otherwise it is the organisation's part of each host's name, by the list of public suffixes. One
organisation for all hosts names the group (``tea.example``); several are joined
(``a.example+b.example``). A domain without MX is its own group. It is a rule of names alone, so it
costs no look-up and never changes with the order in which hosts are tried.

Mail hosts are what strangers write into their DNS. None of it makes a name that Postern gives
itself: those have no dot (``local``, ``google``), or a colon (``relay:us1``).
"""

from collections.abc import Iterable
from hashlib import blake2b

from postern.routing.hosts import is_address
from postern.routing.providers import Providers
from postern.runtime.suffixes import registrable

LOCAL = "local"
"""The group of our own mailboxes."""
MAX_JOINED = 3
_NOT_IN_NAMES = str.maketrans({":": "_", "+": "_", "/": "_", "\\": "_"})


def group_of_hosts(hosts: Iterable[str], providers: Providers) -> str:
    """The group served by these mail hosts (lower-case names or IP addresses, at least one)."""
    names = sorted(set(hosts))
    provider = providers.of_hosts(names)
    if provider is not None:
        return provider
    organisations = sorted({organisation(host) for host in names})
    if len(organisations) > MAX_JOINED:
        # Bounded, and still one name for one set: zones may list hundreds of hosts.
        digest = blake2b("+".join(organisations).encode(), digest_size=4).hexdigest()
        organisations = [*organisations[: MAX_JOINED - 1], digest]
    if len(organisations) == 1:
        return own_name(organisations[0])
    return "+".join(organisations)


def organisation(host: str) -> str:
    """The organisation's part of a host name; an IP address is its own.

    ``mx1.tea.co.uk`` gives ``tea.co.uk``, ``mx.kyoto.tea.example`` gives ``tea.example``.
    """
    if is_address(host):
        return host
    # A dot within a label is written "\\.", and parts nothing.
    plain = host.replace("\\.", "_").translate(_NOT_IN_NAMES)
    return registrable(plain) or plain


def own_name(group: str) -> str:
    """``group``, unless a stranger's name would be one of those that Postern gives itself."""
    return f"{group}." if "." not in group and ":" not in group else group
