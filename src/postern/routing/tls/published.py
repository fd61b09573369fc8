"""A domain's MTA-STS policy on the hosts that were found for it: which may be used, and how.

Where a host has TLSA records that can be used, those decide alone (RFC 8461 §2).

What an enforced policy decides is kept for five minutes at most: that is how soon a newer policy is
looked for where mail fails by it (RFC 8461 §5.1).
"""

from dataclasses import replace

from postern.mail.route import TlsDemand, TlsPolicy
from postern.mail.sts import StsMode, StsPolicy
from postern.mail.tlsrpt import STS_SOURCE, STS_TESTING_SOURCE, PolicyType, TlsResult, Untried
from postern.routing import dead_ends
from postern.routing.plan import DeadEnd, Found, Host, Plan
from postern.routing.tls.sts import AGAIN_S, Published


def demanded(found: Found, domain: str, published: Published) -> Found:
    """What was found, as the policy of ``domain`` wants it."""
    if isinstance(found, DeadEnd):
        return found
    policy, ttl_s = published.policy, min(found.ttl_s, published.ttl_s)
    if policy is None:
        hosts = tuple(_noted(host, published.fault) for host in found.hosts)
        return replace(found, hosts=hosts, ttl_s=ttl_s)
    if policy.mode is StsMode.TESTING:
        hosts = tuple(_tested(host, policy) for host in found.hosts)
        return replace(found, hosts=hosts, ttl_s=ttl_s)
    ttl_s = min(ttl_s, AGAIN_S)
    allowed = tuple(_enforced(host) for host in found.hosts if _may_serve(host, policy))
    if not allowed:
        names = [host.name for host in found.hosts]
        untried = Untried(PolicyType.STS, TlsResult.VALIDATION_FAILURE, names[0])
        return DeadEnd(dead_ends.not_in_policy(domain, found.group, names), ttl_s, untried)
    return Plan(found.group, found.port, allowed, ttl_s)


def _has_dane(host: Host) -> bool:
    return host.tls.policy is TlsPolicy.DANE


def _may_serve(host: Host, policy: StsPolicy) -> bool:
    return _has_dane(host) or policy.names(host.name)


def _enforced(host: Host) -> Host:
    if _has_dane(host):
        return host
    return replace(host, tls=TlsDemand(TlsPolicy.VERIFY, source=STS_SOURCE))


def _tested(host: Host, policy: StsPolicy) -> Host:
    """Nothing is demanded, and what would have failed is reported."""
    if host.tls.source:
        return host
    fault = "" if policy.names(host.name) else TlsResult.VALIDATION_FAILURE.value
    return replace(host, tls=TlsDemand(source=STS_TESTING_SOURCE, fault=fault))


def _noted(host: Host, fault: str) -> Host:
    return (
        replace(host, tls=replace(host.tls, fault=fault)) if fault and not host.tls.source else host
    )
