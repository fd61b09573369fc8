"""Who lives in the world: providers of mail, their hosts and addresses, whose mail they take."""

from dataclasses import dataclass, field

from tests.lab.world import mx


@dataclass(frozen=True, slots=True)
class Provider:
    """Hosts ``mx1.NAME.example`` … that serve ``domains``, in this order of preference.

    Args:
        name: its hosts' domain without ``.example``; so the MX group is called ``NAME.example``.
        first: number of its first address; the others follow.
        hosts: how many it has, one address each.
        domains: whose mail it takes, without ``.example``.
        is_signed: its zone and its domains' are signed (DNSSEC).
        tlsa: the records of each host (``3 1 1 …``), without name and type.
        policy: whether its domains publish an MTA-STS policy (mode ``enforce``).
    """

    name: str
    first: int
    hosts: int = 1
    domains: tuple[str, ...] = field(default=())
    is_signed: bool = False
    tlsa: str = ""
    has_policy: bool = False

    @property
    def group(self) -> str:
        """What its MX group is called."""
        return f"{self.name}.example"

    @property
    def names(self) -> tuple[str, ...]:
        """Its hosts, best first."""
        return tuple(f"mx{n + 1}.{self.name}.example" for n in range(self.hosts))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its hosts' addresses, best first."""
        return tuple(mx(self.first + n) for n in range(self.hosts))

    def zones(self) -> dict[str, str]:
        """Zone name to records: the hosts', and each domain's."""
        lines = [f"mx{n + 1} A {ip}" for n, ip in enumerate(self.addresses)]
        if self.tlsa:
            lines += [f"_25._tcp.mx{n + 1} TLSA {self.tlsa}" for n in range(self.hosts)]
        zones = {f"{self.name}.example": "\n".join(lines)}
        for domain in self.domains:
            zones[f"{domain}.example"] = self._domain()
        return zones

    def _domain(self) -> str:
        lines = [f"@ MX {10 * (n + 1)} {name}." for n, name in enumerate(self.names)]
        if self.has_policy:
            lines += ['_mta-sts TXT "v=STSv1; id=1"', f"mta-sts A {POLICIES}"]
        return "\n".join(lines)


POLICIES = mx(80)
"""The web server of all MTA-STS policies."""
