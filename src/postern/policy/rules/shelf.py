"""The rules of one scope, indexed: what could fit a message is found without trying the others."""

from collections.abc import Collection, Iterable, Iterator
from ipaddress import ip_network

from postern.mail.address import Address
from postern.policy.rules.match import Facts, MatchKind
from postern.policy.rules.rule import Action, Rule

_Key = tuple[int, int]
"""IP version and prefix length."""
_ORDER = {kind: place for place, kind in enumerate(MatchKind)}


class Shelf:
    """Rules of one mailbox, one domain, or the system; made once and then only read.

    ``header_allows`` are those that let through by what only the header tells; ``asks_known``: one
    is about whom this recipient has written to.

    The cost of a question grows with the labels of the names in the message and with how many
    prefix lengths are in use, not with the number of rules.
    """

    __slots__ = (
        "_about_content",
        "_everyone",
        "_named",
        "_networks",
        "asks_known",
        "header_allows",
        "rules",
    )

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = tuple(sorted(rules, key=particularity))
        self._named: dict[tuple[MatchKind, str], list[Rule]] = {}
        self._networks: dict[_Key, dict[int, list[Rule]]] = {}
        self._everyone: list[Rule] = []
        self._about_content: tuple[object, ...] | None = None
        self.header_allows = tuple(
            rule
            for rule in self.rules
            if rule.action is Action.ALLOW and rule.match.kind in _HEADER_KINDS
        )
        self.asks_known = any(rule.match.kind is MatchKind.KNOWN for rule in self.rules)
        for rule in self.rules:
            self._put(rule)

    def _put(self, rule: Rule) -> None:
        kind, value = rule.match.kind, rule.match.value
        if kind in {MatchKind.ALL, MatchKind.KNOWN}:
            self._everyone.append(rule)
        elif kind is MatchKind.NETWORK:
            network = ip_network(value)
            lengths = self._networks.setdefault((network.version, network.prefixlen), {})
            lengths.setdefault(int(network.network_address), []).append(rule)
        else:
            self._named.setdefault((kind, value), []).append(rule)

    def candidates(self, facts: Facts) -> list[Rule]:
        """Rules that may fit, the most particular first; ``fit`` has the last word on each."""
        found: list[Rule] = []
        if self._named:
            found += [rule for key in keys_of(facts) for rule in self._named.get(key, ())]
        found += self._by_network(facts)
        found += self._everyone
        # A message has one or two rules about it as a rule; then there is nothing to sort.
        return found if len(found) < 2 else sorted(dict.fromkeys(found), key=particularity)

    def key(self, facts: Facts) -> tuple[object, ...]:
        """Equal for shelves that say the same of all that this client may send.

        Rules about other clients do not count: all is known of this one before its message comes.
        """
        if not self.rules:
            return ()
        if self._about_content is None:
            self._about_content = tuple(
                _meaning(rule) for rule in self.rules if rule.match.kind not in _CLIENT_KINDS
            )
        about_client = [
            _meaning(rule)
            for rule in self.candidates(facts)
            if rule.match.kind in _CLIENT_KINDS and not rule.is_over(facts.at)
        ]
        return (*self._about_content, *about_client)

    @property
    def has_names(self) -> bool:
        """True when a rule here is about some mail only, told by a name or an address."""
        return bool(self._named or self._networks)

    def names(self, facts: Facts, keys: Collection[tuple[MatchKind, str]]) -> bool:
        """Whether a rule that names some mail may fit; ``keys`` are ``keys_of(facts)``."""
        if not self._named.keys().isdisjoint(keys):
            return True
        return bool(self._networks) and next(self._by_network(facts), None) is not None

    def _by_network(self, facts: Facts) -> Iterator[Rule]:
        ip = facts.ip
        if ip is None:
            return
        number, width = int(ip), ip.max_prefixlen
        for (version, length), networks in self._networks.items():
            if version == ip.version:
                shift = width - length
                yield from networks.get(number >> shift << shift, ())


_CLIENT_KINDS = frozenset({MatchKind.NETWORK, MatchKind.HELO, MatchKind.PTR})
_HEADER_KINDS = frozenset({MatchKind.ADDRESS, MatchKind.DOMAIN, MatchKind.BELOW, MatchKind.LIST_ID})


def particularity(rule: Rule) -> tuple[int, int, int]:
    """Sorts the more particular rule first, and of equals the later one."""
    narrowness = 0
    if rule.match.kind is MatchKind.NETWORK:
        narrowness = -ip_network(rule.match.value).prefixlen
    elif rule.match.kind is MatchKind.BELOW:
        narrowness = -rule.match.value.count(".")
    return _ORDER[rule.match.kind], narrowness, -rule.serial


def _meaning(rule: Rule) -> tuple[object, ...]:
    """What it does, whoever made it."""
    return rule.match, rule.action, rule.waives, rule.unproven


def keys_of(facts: Facts) -> Iterator[tuple[MatchKind, str]]:
    """What a rule that fits must be filed under."""
    senders: list[Address] = [] if facts.mail_from is None else [facts.mail_from]
    senders += facts.header_from or ()
    for address in dict.fromkeys(senders):
        yield MatchKind.ADDRESS, address.key
        yield MatchKind.DOMAIN, address.domain
        labels = address.domain.split(".")
        for start in range(len(labels)):
            yield MatchKind.BELOW, ".".join(labels[start:])
    if facts.list_id:
        yield MatchKind.LIST_ID, facts.list_id
    if facts.helo:
        yield MatchKind.HELO, facts.helo
    if facts.ptr:
        yield MatchKind.PTR, facts.ptr
