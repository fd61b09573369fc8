"""What the configuration says of the checks; what their fails lead to is in the database."""

from dataclasses import dataclass, field

from postern.mail.mime.part import Limits
from postern.policy.checks.content import ContentSettings
from postern.policy.checks.dmarc import Believed
from postern.policy.checks.zones import Zone
from postern.policy.greylist.settings import GreylistSettings, Mode
from postern.policy.rates import RateSettings
from postern.policy.scanners.settings import ScannerSettings
from postern.policy.untold.patience import WAIT_S


def _nobody_waits() -> GreylistSettings:
    return GreylistSettings(Mode.OFF)


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The tables about mail from outside; the defaults ask no list and believe nobody.

    ``help_url``: see ``policy.answers``. ``dns_patience_s``: see ``policy.untold.patience``.
    ``limits``: how far messages are looked into.
    """

    zones: tuple[Zone, ...] = ()
    dnsbl_threshold: float = 1.0
    believed: Believed = field(default_factory=Believed)
    help_url: str = ""
    dns_patience_s: float = WAIT_S
    content: ContentSettings = field(default_factory=ContentSettings)
    limits: Limits = field(default_factory=Limits)
    rates: RateSettings = field(default_factory=RateSettings)
    greylist: GreylistSettings = field(default_factory=_nobody_waits)
    scanners: tuple[ScannerSettings, ...] = ()
