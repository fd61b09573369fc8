"""What domains publish about TLS: the file it is kept in, and who asks for it."""

from postern.config.settings import Config
from postern.routing.machine import Machine
from postern.routing.tls.shelf import Shelf
from postern.routing.tls.store import FILE_NAME
from postern.routing.tls.sts import StsPolicies
from postern.routing.tls.sts_fetch import StsFetcher, StsSettings
from postern.runtime.clock import Clock
from postern.runtime.resolver.lookup import ForgetfulLookup


def open_shelf(config: Config, clock: Clock) -> Shelf:
    """The file, for one worker; it outlives reloads."""
    return Shelf(config.data_dir / FILE_NAME, clock)


def policies(
    config: Config, lookup: ForgetfulLookup, shelf: Shelf, clock: Clock, machine: Machine
) -> StsPolicies:
    """Policies of MTA-STS, fetched as ``[delivery]`` says."""
    delivery = config.delivery
    settings = StsSettings(port=delivery.mta_sts_port, ca_file=delivery.ca_file)
    fetcher = StsFetcher(lookup, settings, has_ipv6=machine.has_ipv6)
    return StsPolicies(lookup, fetcher, shelf, clock)
