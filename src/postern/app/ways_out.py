"""From ``postern.toml`` to what routing needs: the ways out, and how carefully they are changed."""

from postern.config.outbound import Egress
from postern.config.provider_checks import providers_of
from postern.config.settings import Config
from postern.mail.route import TlsPolicy
from postern.routing.control.settings import ControlSettings
from postern.routing.paths.groups import Knobs
from postern.routing.paths.settings import ProbeSettings
from postern.routing.routes.route import Policy
from postern.routing.settings import EgressSettings, HostPort, RoutingSettings
from postern.routing.tls.exemptions.retest import RetestSettings

DAY_S = 86_400.0


def routing_settings(
    config: Config, ports: dict[int, int], hop_key: bytes = b""
) -> RoutingSettings:
    """``[[egress]]`` and ``[delivery]``.

    Args:
        config: the configuration.
        ports: the real ones, by listener index.
        hop_key: of the marks on mail that leaves through relays.
    """
    listeners = tuple(
        HostPort(listener.bind.host, ports.get(index, listener.bind.port))
        for index, listener in enumerate(config.listeners)
        if listener.bind.path is None
    )
    return RoutingSettings(
        config.hostname,
        listeners,
        tuple(_egress(egress, hop_key) for egress in config.egresses),
        config.delivery.egress,
        config.delivery.lmtp,
        config.delivery.port,
        providers=providers_of(config),
        reserved=frozenset((config.delivery.forwarded_egress, config.delivery.bounce_egress)),
    )


def probe_settings(config: Config, workers: int) -> ProbeSettings:
    """``[paths]``."""
    paths = config.paths
    return ProbeSettings(
        paths.first_retest_s, paths.retest_s, paths.probes, paths.probes_per_minute, workers
    )


def _egress(egress: Egress, hop_key: bytes) -> EgressSettings:
    host, _, port = egress.relay.rpartition(":")
    relay = HostPort(host.strip("[]"), int(port)) if egress.relay else None
    return EgressSettings(
        egress.name,
        relay,
        egress.source or None,
        egress.helo or None,
        egress.username or None,
        egress.read_password() or None,
        TlsPolicy(egress.demanded_tls),
        egress.address,
        egress.enforces_tls,
        hop_key,
    )


def control_settings(config: Config) -> ControlSettings:
    """How relays are engaged and taken back, as ``[paths]`` says."""
    paths = config.paths
    knobs = Knobs(paths.retest_s, paths.good_tests, paths.canaries)
    return ControlSettings(knobs, Policy(paths.relay), paths.route_days * DAY_S)


def retest_settings(config: Config) -> RetestSettings:
    """``[tls_exemptions]``."""
    exemptions = config.tls_exemptions
    return RetestSettings(exemptions.retest_s, exemptions.lasts_s, exemptions.good_tests)
