"""One domain's and one day's results as a report has them. Pure.

Source: RFC 8460 §4.4 (the JSON, its keys and its words).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from postern.mail.tlsrpt import PolicyType
from postern.routing.tls.results.tally import Counted, Policy

Json = dict[str, "JsonValue"]
JsonValue = str | int | list[str] | list["Json"] | Json

MAX_DETAILS = 1_000
"""Different failures that a report names; the summary counts all of them."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports: ``organization``, and ``contact``, an address that people read."""

    organization: str
    contact: str


def report(counted: Iterable[Counted], domain: str, day: str, reporter: Reporter) -> Json | None:
    """The body of the report on ``domain`` for a day such as ``2026-11-27``; None: nothing to tell.

    What does not belong to the domain and the day is passed over. Policies come in a fixed order,
    and so do failures: what is made again is the same.
    """
    by_policy: dict[Policy, list[Counted]] = {}
    for one in counted:
        if one.day == day and one.policy.domain == domain:
            by_policy.setdefault(one.policy, []).append(one)
    if not by_policy:
        return None
    policies = sorted(by_policy, key=lambda policy: (policy.type.value, policy.strings, policy.mx))
    return {
        "organization-name": reporter.organization,
        "date-range": {
            "start-datetime": f"{day}T00:00:00Z",
            "end-datetime": f"{day}T23:59:59Z",
        },
        "contact-info": reporter.contact,
        "report-id": f"{day}_{domain}",
        "policies": [_policy(policy, by_policy[policy]) for policy in policies],
    }


def _policy(policy: Policy, counted: list[Counted]) -> Json:
    well = sum(one.sessions for one in counted if one.result is None)
    failed = [one for one in counted if one.result is not None]
    told: Json = {
        "policy": _told(policy),
        "summary": {
            "total-successful-session-count": well,
            "total-failure-session-count": sum(one.sessions for one in failed),
        },
    }
    if failed:
        told["failure-details"] = _details(failed)
    return told


def _told(policy: Policy) -> Json:
    told: Json = {"policy-type": policy.type.value, "policy-domain": policy.domain}
    if policy.strings:
        told["policy-string"] = list(policy.strings)
    if policy.mx and policy.type is PolicyType.STS:
        told["mx-host"] = list(policy.mx)
    return told


def _details(failed: list[Counted]) -> list[Json]:
    sums: dict[tuple[str, str, str, str], int] = {}
    for one in failed:
        assert one.result is not None
        key = (one.result.value, one.sending_ip, one.mx, one.ip)
        sums[key] = sums.get(key, 0) + one.sessions
    most = sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:MAX_DETAILS]
    return [_detail(*key, sessions) for key, sessions in most]


def _detail(result: str, sending_ip: str, mx: str, ip: str, sessions: int) -> Json:
    told: Json = {"result-type": result, "failed-session-count": sessions}
    for key, value in (
        ("sending-mta-ip", sending_ip),
        ("receiving-mx-hostname", mx),
        ("receiving-ip", ip),
    ):
        if value:
            told[key] = value
    return told
