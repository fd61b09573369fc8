"""From ``postern.toml`` to what routing needs: the ways out, and how paths are tested."""

from postern.config.provider_checks import providers_of
from postern.config.settings import Config, Egress
from postern.mail.route import TlsPolicy
from postern.routing.paths.settings import ProbeSettings
from postern.routing.settings import EgressSettings, HostPort, RoutingSettings


def routing_settings(config: Config, ports: dict[int, int]) -> RoutingSettings:
    """``[[egress]]`` and ``[delivery]``; ``ports`` are the real ones, by listener index."""
    listeners = tuple(
        HostPort(listener.bind.host, ports.get(index, listener.bind.port))
        for index, listener in enumerate(config.listeners)
        if listener.bind.path is None
    )
    return RoutingSettings(
        config.hostname,
        listeners,
        tuple(_egress(egress) for egress in config.egresses),
        config.delivery.egress,
        config.delivery.lmtp,
        config.delivery.port,
        providers=providers_of(config),
    )


def probe_settings(config: Config, workers: int) -> ProbeSettings:
    """``[paths]``."""
    paths = config.paths
    return ProbeSettings(
        paths.first_retest_s, paths.retest_s, paths.probes, paths.probes_per_minute, workers
    )


def _egress(egress: Egress) -> EgressSettings:
    host, _, port = egress.relay.rpartition(":")
    relay = HostPort(host.strip("[]"), int(port)) if egress.relay else None
    return EgressSettings(
        egress.name,
        relay,
        egress.source or None,
        egress.helo or None,
        egress.username or None,
        egress.read_password() or None,
        TlsPolicy(egress.tls),
    )
