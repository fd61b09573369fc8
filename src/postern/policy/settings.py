"""What the configuration says of the checks; what their fails lead to is in the database."""

from dataclasses import dataclass, field

from postern.policy.checks.dmarc import Believed
from postern.policy.checks.zones import Zone
from postern.policy.untold.patience import WAIT_S


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """``[[blocklist]]`` and ``[checks]``; the defaults ask no list and believe nobody.

    ``help_url``: see ``policy.answers``. ``dns_patience_s``: see ``policy.untold.patience``.
    """

    zones: tuple[Zone, ...] = ()
    dnsbl_threshold: float = 1.0
    believed: Believed = field(default_factory=Believed)
    help_url: str = ""
    dns_patience_s: float = WAIT_S
