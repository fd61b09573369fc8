"""A server whose checks can be made to fail one at a time, and where its mail went.

One name server holds the zones of all senders; the client's address is said by the PROXY protocol.
Everything is in order for a ``LETTER``; each ``Fault`` is that letter with one thing wrong.
"""

import base64
import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import dkim  # type: ignore[import-untyped]  # it has no types
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.peers.dns import NsdServer
from tests.peers.outsider import Letter, Said, hand_in
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder, wait_until
from tests.peers.scanners import EICAR, SPAM_WORD, clamd, rspamd

from postern.directory.model import Refused
from postern.directory.store.site import SiteStore
from postern.policy.rules.draft import Draft
from postern.policy.rules.match import MatchFlaw, parse_match
from postern.policy.rules.rule import DEFAULTS, Action, Scope, Treatment, family_of
from postern.policy.rules.store import RuleStore
from postern.queue.quarantine import held_mail
from postern.runtime.clock import SystemClock

HOSTNAME = "mx.postern.test"
HOME = "here.test"

_KEY = rsa.generate_private_key(65537, 2048)
_PRIVATE = _KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _dkim_record() -> str:
    der = _KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
    return " ".join(f'"{text[i : i + 200]}"' for i in range(0, len(text), 200))


ZONES = {
    "test": "",
    "tea.test": f"""@ MX 10 mail
@ TXT "v=spf1 ip4:198.51.100.0/24 -all"
mail A 198.51.100.24
bare A 198.51.100.25
third A 198.51.100.26
hasty A 198.51.100.27
listed A 198.51.100.50
away A 203.0.113.9
s1._domainkey TXT {_dkim_record()}
lost.s1._domainkey TXT "v=DKIM1; p="
""",
    "nomail.test": '@ TXT "v=spf1 ip4:198.51.100.0/24 -all"\n@ MX 0 .',
    "strict.test": '@ MX 10 mail\nmail A 203.0.113.7\n@ TXT "v=spf1 ip4:203.0.113.7 -all"',
    "soft.test": '@ MX 10 mail\nmail A 203.0.113.7\n@ TXT "v=spf1 ip4:203.0.113.7 ~all"',
    "aside.test": '@ MX 10 mail\nmail A 203.0.113.7\n_dmarc TXT "v=DMARC1; p=quarantine"',
    "never.test": '@ MX 10 mail\nmail A 203.0.113.7\n_dmarc TXT "v=DMARC1; p=reject"',
    "deadkey.test": "@ MX 10 mail\nmail A 203.0.113.7\nd1._domainkey CNAME d1.dead.example.",
    "deadspf.test": '@ MX 10 mail\nmail A 203.0.113.7\n@ TXT "v=spf1 include:dead.example -all"',
    "deaddmarc.test": "@ MX 10 mail\nmail A 203.0.113.7\n_dmarc CNAME _dmarc.dead.example.",
    "100.51.198.in-addr.arpa": """24 PTR mail.tea.test.
25 PTR bare.tea.test.
26 PTR third.tea.test.
27 PTR hasty.tea.test.
50 PTR listed.tea.test.
98 PTR away.tea.test.
""",
    "bl.test": "2.0.0.127 A 127.0.0.2\n50.100.51.198 A 127.0.0.2",
}
"""``dead.example`` is not here: asked for it, the name server refuses, and nobody can tell."""

MESSAGE = (
    b"From: Chen <chen@tea.test>\r\nTo: wang@here.test\r\nSubject: tea\r\n"
    b"Date: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@tea.test>\r\n\r\nGreen or black?\r\n"
)
ATTACHED = MESSAGE.replace(
    b"\r\n\r\nGreen",
    b'\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream; name="prices.pdf.exe"'
    b"\r\nContent-Disposition: attachment\r\n\r\nGreen",
)
INFECTED = MESSAGE + EICAR + b"\r\n"
PROGRAM = """#!/bin/sh
case "$(cat)" in *"no tea"*) echo "it says no tea"; exit 1 ;; esac
"""
LETTER = Letter("198.51.100.24", "mail.tea.test", "chen@tea.test", MESSAGE)


def signed(message: bytes, selector: bytes = b"s1", domain: bytes = b"tea.test") -> bytes:
    """Signed by another program than ours."""
    field_ = dkim.sign(message, selector, domain, _PRIVATE, include_headers=[b"from", b"subject"])
    assert isinstance(field_, bytes)
    return field_ + message


def author(address: bytes) -> bytes:
    """The message with another author."""
    return MESSAGE.replace(b"chen@tea.test", address)


@dataclass(frozen=True, slots=True)
class Fault:
    """A letter that fails exactly one check.

    ``words`` stand in what the client is told. ``at``: where it is refused. ``beside``: checks that
    fail with it and are switched off.
    """

    check: str
    words: str
    letter: Letter
    at: str = "rcpt"
    beside: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """What a rule waives."""
        return family_of(self.check)


def _beyond(message: bytes) -> Letter:
    return replace(LETTER, message=message)


FAULTS = (
    Fault("ptr.missing", "has no reverse DNS name", replace(LETTER, ip="198.51.100.99")),
    Fault("ptr.mismatch", "does not lead back", replace(LETTER, ip="198.51.100.98")),
    Fault("helo.invalid", "no full host name", replace(LETTER, helo="laptop")),
    Fault("helo.unresolvable", "without an address", replace(LETTER, helo="srv-2003.tea.test")),
    Fault("helo.own-name", "that is our name", replace(LETTER, helo=HOSTNAME)),
    Fault("dnsbl.listed", "bl.test", replace(LETTER, ip="198.51.100.50")),
    Fault("mailfrom.no-domain", "does not exist", replace(LETTER, sender="x@gone.tea.test")),
    Fault("mailfrom.no-mx", "has no mail", replace(LETTER, sender="x@nomail.test")),
    Fault("spf.fail", "does not let your mail server", replace(LETTER, sender="x@strict.test")),
    Fault("spf.softfail", "not its own", replace(LETTER, sender="x@soft.test")),
    Fault(
        "standards.early-talk",
        "did not wait to be greeted",
        replace(LETTER, ip="198.51.100.27", is_hasty=True),
    ),
    Fault("standards.header", "2 From", _beyond(b"From: <li@tea.test>\r\n" + MESSAGE), "message"),
    Fault("standards.long-line", "998", _beyond(MESSAGE + b"x" * 999 + b"\r\n"), "message"),
    Fault("spam.score", "spam", _beyond(MESSAGE + SPAM_WORD + b"\r\n"), "message"),
    Fault("command.found", "it says no tea", _beyond(MESSAGE + b"no tea\r\n"), "message"),
    Fault("content.attachment", "prices.pdf.exe", _beyond(ATTACHED), "message"),
    Fault("dkim.fail", "no signature holds", _beyond(signed(MESSAGE) + b"and more"), "message"),
    Fault("dmarc.quarantine", "put aside", _beyond(author(b"boss@aside.test")), "message"),
    Fault(
        "dmarc.reject",
        "refused (DMARC)",
        replace(LETTER, sender="x@strict.test", message=author(b"boss@never.test")),
        "message",
        ("spf.fail",),
    ),
)


@dataclass
class Court:
    """A running server, its rules at hand, and one domain for each thing that is tried."""

    server: PosternServer
    site: SiteStore
    rules: RuleStore
    made: dict[str, str] = field(default_factory=dict)

    def recipient(self, name: str, treatments: Mapping[str, Treatment] | None = None) -> str:
        """A mailbox in a domain of its own where checks are treated as said."""
        domain = f"{name}.test"
        if name not in self.made:
            assert not isinstance(self.site.add_domain(domain), Refused)
            assert not isinstance(self.site.add_mailbox(f"wang@{domain}"), Refused)
            self.made[name] = f"wang@{domain}"
        for check, treatment in (treatments or {}).items():
            self.treat(check, treatment, domain)
        return self.made[name]

    def treat(self, check: str, treatment: Treatment, domain: str = "") -> None:
        """What ``postern rule system`` does."""
        assert not isinstance(self.rules.treat(check, treatment, domain), Refused)

    @contextmanager
    def by_default(self, check: str, treatment: Treatment) -> Iterator[None]:
        """Have a check treated so for everybody, for a while."""
        self.treat(check, treatment)
        try:
            yield
        finally:
            self.treat(check, DEFAULTS[check])

    @contextmanager
    def rule(
        self,
        action: Action,
        match: str,
        scope: Scope,
        recipient: str,
        waives: frozenset[str] = frozenset(),
        *,
        unproven: bool = False,
    ) -> Iterator[str]:
        """A rule for a while; its label."""
        about = parse_match(match)
        assert not isinstance(about, MatchFlaw), about
        place = {
            Scope.MAILBOX: recipient, Scope.DOMAIN: recipient.partition("@")[2], Scope.SYSTEM: ""
        }[scope]  # fmt: skip
        draft = Draft(action, about, scope, place, "to see what it does", waives, unproven)
        made = self.rules.add(draft)
        assert not isinstance(made, Refused), made
        try:
            yield made.rule.label
        finally:
            self.rules.end(made.rule.label)

    def hand_in(self, letter: Letter, *recipients: str) -> Said:
        """Hand it in and hear what is said."""
        return hand_in(self.server.port(), letter, recipients)

    def whereabouts(self, recipient: str, trace: str) -> str:
        """``inbox``, ``junk`` or ``held``: where an accepted message came to be."""
        mailbox = self.server.maildir(recipient)
        places = {"inbox": mailbox / "new", "junk": mailbox / ".Junk" / "new"}
        found = ""

        def is_there() -> bool:
            nonlocal found
            inside = (name for name, folder in places.items() if _holds(folder, trace))
            found = next(inside, "") or ("held" if self._is_held(recipient, trace) else "")
            return bool(found)

        wait_until(is_there, f"{trace} for {recipient}", server=self.server.server)
        return found

    def _is_held(self, recipient: str, trace: str) -> bool:
        held = held_mail(self.server.data / "spool")
        return any(one.trace == trace and str(one.mailbox) == recipient for one in held)


def _holds(folder: Path, trace: str) -> bool:
    return folder.is_dir() and any(trace.encode() in _text(path) for path in folder.iterdir())


@functools.cache
def _text(path: Path) -> bytes:
    return path.read_bytes()


@contextmanager
def court() -> Iterator[Court]:
    """The server, with everything that its checks look up."""
    with NsdServer(ZONES) as dns, clamd() as virus, rspamd() as spam, short_folder() as folder:
        program = folder / "scan"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        settings = PosternSettings(
            hostname=HOSTNAME,
            listeners=(Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]'),),
            resolver=dns.address,
            # Nobody is asked to come again: what one check leads to is tried here.
            tables=(
                ("[blocklist]", 'zone = "bl.test"'),
                ("greylist", 'mode = "off"'),
                ("scanner.clamd", f'socket = "{virus.socket}"'),
                ("scanner.rspamd", f'socket = "{spam.socket}"'),
                ("scanner.own", f'kind = "command"\ncommand = ["{program}"]'),
            ),
        )
        with postern(settings) as server:
            clock = SystemClock()
            site = SiteStore.open(server.data, clock, "a journey")
            try:
                yield Court(server, site, RuleStore(site.database, clock, "a journey"))
            finally:
                site.close()
