"""What reports about TLS are made of: counted, summed over workers, told as RFC 8460 has it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from postern.mail.route import Egress, Target, Tlsa, TlsDemand, TlsPolicy, Way
from postern.mail.tlsrpt import PolicyType, TlsResult, Untried
from postern.routing.tls.doubts import StsDoubts
from postern.routing.tls.results import store, tally
from postern.routing.tls.results.report import Reporter, report
from postern.routing.tls.results.tally import Counted, Policy, TlsTally, day_of
from postern.runtime.clock import FakeClock

REPORTER = Reporter("Company-X", "sts-reporting@company-x.example")
DOMAIN = "company-y.example"
LINES = ("version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400")
PATTERNS = ("*.mail.company-y.example",)
STS = TlsDemand(TlsPolicy.VERIFY, source="mta-sts")
DANE = TlsDemand(TlsPolicy.DANE, tlsa=(Tlsa(3, 1, 1, b"\x1f\x85"),), source="dane")
EXPIRED = TlsResult.CERTIFICATE_EXPIRED


class Texts:
    """Knows the policy of one domain."""

    def text_of(self, domain: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (LINES, PATTERNS) if domain == DOMAIN else ((), ())


def way(demand: TlsDemand, ip: str = "203.0.113.56", group: str = DOMAIN) -> Way:
    target = Target("mx1.mail.company-y.example", ip, 25, demand)
    return Way(Egress("direct", source_ip="2001:db8:abcd:12::1"), target, group=group)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counting(clock: FakeClock) -> TlsTally:
    return TlsTally(clock, Texts())


def told(counting: TlsTally, clock: FakeClock, domain: str = DOMAIN) -> dict[str, object]:
    made = report(counting.take(), domain, day_of(clock.now()), REPORTER)
    assert made is not None
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]  # it is JSON


def test_a_report_has_the_shape_and_the_words_of_the_standard(
    counting: TlsTally, clock: FakeClock
) -> None:
    for _ in range(5):
        counting.session(way(STS), [DOMAIN], None)
    for _ in range(3):
        counting.session(way(STS), [DOMAIN], EXPIRED)
    counting.session(way(STS, "203.0.113.57"), [DOMAIN], TlsResult.STARTTLS_NOT_SUPPORTED)
    assert told(counting, clock) == {
        "organization-name": "Company-X",
        "date-range": {
            "start-datetime": "2025-06-15T00:00:00Z",
            "end-datetime": "2025-06-15T23:59:59Z",
        },
        "contact-info": "sts-reporting@company-x.example",
        "report-id": "2025-06-15_company-y.example",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": list(LINES),
                    "policy-domain": DOMAIN,
                    "mx-host": list(PATTERNS),
                },
                "summary": {
                    "total-successful-session-count": 5,
                    "total-failure-session-count": 4,
                },
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "2001:db8:abcd:12::1",
                        "receiving-mx-hostname": "mx1.mail.company-y.example",
                        "receiving-ip": "203.0.113.56",
                        "failed-session-count": 3,
                    },
                    {
                        "result-type": "starttls-not-supported",
                        "sending-mta-ip": "2001:db8:abcd:12::1",
                        "receiving-mx-hostname": "mx1.mail.company-y.example",
                        "receiving-ip": "203.0.113.57",
                        "failed-session-count": 1,
                    },
                ],
            }
        ],
    }


def test_policies_of_one_domain_are_told_apart(counting: TlsTally, clock: FakeClock) -> None:
    counting.session(way(DANE), [DOMAIN], None)
    counting.session(way(TlsDemand()), [DOMAIN], None)
    counting.session(way(STS), [DOMAIN], None)
    policies = told(counting, clock)["policies"]
    assert isinstance(policies, list)
    assert [one["policy"] for one in policies] == [
        {"policy-type": "no-policy-found", "policy-domain": DOMAIN},
        {
            "policy-type": "sts",
            "policy-domain": DOMAIN,
            "policy-string": list(LINES),
            "mx-host": list(PATTERNS),
        },
        {"policy-type": "tlsa", "policy-domain": DOMAIN, "policy-string": ["3 1 1 1f85"]},
    ]
    assert "failure-details" not in policies[0]


def test_a_session_for_two_domains_counts_for_both(counting: TlsTally, clock: FakeClock) -> None:
    counting.session(way(TlsDemand()), [DOMAIN, "other.example"], None)
    assert {one.policy.domain for one in counting.take()} == {DOMAIN, "other.example"}
    assert counting.take() == []


def test_sessions_with_a_relay_are_not_ours_to_report(counting: TlsTally) -> None:
    counting.session(way(STS, group="relay:us1"), [DOMAIN], EXPIRED)
    assert counting.take() == []


def test_days_end_at_midnight_utc(counting: TlsTally, clock: FakeClock) -> None:
    counting.session(way(STS), [DOMAIN], None)
    clock.advance(86_400)
    counting.session(way(STS), [DOMAIN], None)
    assert [one.day for one in counting.take()] == ["2025-06-15", "2025-06-16"]


def test_other_domains_and_days_are_passed_over(counting: TlsTally, clock: FakeClock) -> None:
    counting.session(way(STS), [DOMAIN], None)
    counted = counting.take()
    assert report(counted, "other.example", day_of(clock.now()), REPORTER) is None
    assert report(counted, DOMAIN, "2025-06-14", REPORTER) is None


def test_memory_is_bounded_and_no_session_is_lost(
    counting: TlsTally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "MAX_KEYS", 3)
    for number in range(10):
        counting.session(way(STS, f"203.0.113.{number}"), [DOMAIN], EXPIRED)
    counted = counting.take()
    assert len(counted) == 4
    assert sum(one.sessions for one in counted) == 10
    assert [one.ip for one in counted if one.sessions == 7] == [""]


COUNTED = Counted(
    "2025-06-15", Policy(DOMAIN, PolicyType.STS, LINES, PATTERNS), EXPIRED, "mx", "203.0.113.56",
    "192.0.2.1", 2,
)  # fmt: skip


def test_workers_counts_are_added_up(tmp_path: Path, clock: FakeClock) -> None:
    file = tmp_path / store.FILE_NAME
    assert store.read(file, DOMAIN, "2025-06-15") == []
    well = replace(COUNTED, result=None, sessions=7)
    store.add(file, [COUNTED, well], clock.now())
    store.add(file, [COUNTED], clock.now())
    found = store.read(file, DOMAIN, "2025-06-15")
    assert sorted(found, key=lambda one: one.sessions) == [replace(COUNTED, sessions=4), well]
    assert store.read(file, DOMAIN, "2025-06-14") == []
    assert store.domains(file, "2025-06-15") == [DOMAIN]
    assert file.stat().st_mode & 0o777 == 0o600


def test_two_weeks_are_kept(tmp_path: Path, clock: FakeClock) -> None:
    file = tmp_path / store.FILE_NAME
    store.add(file, [COUNTED], clock.now())
    clock.advance(14 * 86_400)
    store.add(file, [], clock.now())
    assert len(store.read(file, DOMAIN, COUNTED.day)) == 1
    clock.advance(86_400)
    store.add(file, [], clock.now())
    assert store.read(file, DOMAIN, COUNTED.day) == []


def test_a_day_of_too_many_addresses_is_still_counted(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_ROWS", 2)
    file = tmp_path / store.FILE_NAME
    for number in range(5):
        store.add(file, [replace(COUNTED, ip=f"203.0.113.{number}")], clock.now())
    found = store.read(file, DOMAIN, COUNTED.day)
    assert sum(one.sessions for one in found) == 10
    assert len(found) == 3


def test_mail_that_got_no_session_for_tls_is_told_of_as_well(
    counting: TlsTally, clock: FakeClock
) -> None:
    host = "mx1.mail.company-y.example"
    counting.session(way(STS), [DOMAIN], None)
    counting.untried(DOMAIN, Untried(PolicyType.STS, TlsResult.VALIDATION_FAILURE, host))
    counting.untried(DOMAIN, Untried(PolicyType.TLSA, TlsResult.DNSSEC_INVALID, host))
    found = told(counting, clock)["policies"]
    assert isinstance(found, list)
    sts, tlsa = found
    assert sts["policy"]["policy-string"] == list(LINES)
    assert sts["summary"] == {
        "total-successful-session-count": 1,
        "total-failure-session-count": 1,
    }
    assert sts["failure-details"] == [
        {
            "result-type": "validation-failure",
            "failed-session-count": 1,
            "receiving-mx-hostname": host,
        }
    ]
    assert tlsa["policy"] == {"policy-type": "tlsa", "policy-domain": DOMAIN}
    assert tlsa["failure-details"][0]["result-type"] == "dnssec-invalid"


class Doubted:
    """Notes whose policies are doubted."""

    def __init__(self) -> None:
        self.domains: list[str] = []

    def doubt(self, domain: str) -> None:
        self.domains.append(domain)


def test_a_session_that_failed_by_a_policy_has_it_doubted_and_all_are_counted(
    counting: TlsTally,
) -> None:
    doubted = Doubted()
    sessions = StsDoubts(counting, doubted)
    sessions.session(way(STS), iter(["good.example"]), None)
    sessions.session(way(STS), iter(["a.example", "b.example"]), EXPIRED)
    sessions.session(way(DANE), iter(["dane.example"]), TlsResult.VALIDATION_FAILURE)
    assert doubted.domains == ["a.example", "b.example"]
    counted = {(one.policy.domain, one.result) for one in counting.take()}
    assert counted == {
        ("good.example", None),
        ("a.example", EXPIRED),
        ("b.example", EXPIRED),
        ("dane.example", TlsResult.VALIDATION_FAILURE),
    }
