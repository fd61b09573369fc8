"""What ``bench.checks`` needs: a network, a resolver, a signed message, servers that check it."""

import smtplib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import LINE
from bench.contestants import tarpit
from cryptography.hazmat.primitives.asymmetric import rsa
from scripts.compile import FOLDER, SOURCES
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.postfix import PostfixSettings, postfix
from tests.peers.process import Server, short_folder, wait_until

from postern.mail.dkim.body import BodyHasher
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.private import PrivateKey
from postern.mail.dkim.record import record_text, zone_value
from postern.mail.dkim.sign import Signer
from postern.mail.message.summary import summarise

CLIENT = "198.51.100.24"
"""The address of client and server alike: the kernel uses for both what is connected to."""
SENDER = "li@tea.example"
RECIPIENT = "sink@sink.test"
BLOCK_LISTS = ("bl.example", "drop.example")
PROOFS = 20
SIGNS = ("dkim=pass", "spf=pass", "dmarc=pass")
"""What Postfix's milters must write into the message."""
PASSES = {
    "ptr.missing", "helo.unresolvable", "dnsbl.listed", "mailfrom.no-mx", "spf.fail",
    "standards.header", "dkim.fail", "dmarc.reject",
}  # fmt: skip
"""What must have passed with Postern, by its record."""
HEAD = (
    b"From: Li <li@tea.example>\r\nTo: sink@sink.test\r\nSubject: measure\r\n"
    b"Date: {date}\r\nMessage-ID: <measure@tea.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=us-ascii\r\n"
)
UNBOUND = """\
server:
  interface: 127.0.0.1
  port: 53
  do-daemonize: no
  do-ip6: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "100.51.198.in-addr.arpa." nodefault
remote-control:
  control-enable: no
"""
STUB = 'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{port}\n'
OPENDKIM = """\
Mode v
Socket local:{folder}/dkim.sock
UMask 000
Syslog no
AuthservID postfix.test
Nameservers 127.0.0.1
"""
OPENDMARC = """\
Socket local:{folder}/dmarc.sock
UMask 000
Syslog false
AuthservID postfix.test
TrustedAuthservIDs postfix.test
SPFIgnoreResults true
SPFSelfValidate true
"""
POSTFIX = {
    "message_size_limit": "100000000",
    "mynetworks": "127.0.0.0/8",
    "smtpd_peername_lookup": "yes",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "smtpd_recipient_restrictions": ", ".join(
        [
            "reject_unknown_reverse_client_hostname",
            "reject_unknown_helo_hostname",
            "reject_unknown_sender_domain",
            *(f"reject_rbl_client {zone}" for zone in BLOCK_LISTS),
            "permit",
        ]
    ),
    # HOLD: written and synced like any mail, but the queue manager never hears of it.
    "smtpd_client_restrictions": "check_client_access static:HOLD",
    "milter_default_action": "tempfail",
}


@dataclass(frozen=True, slots=True)
class Running:
    """A server, the processes (and their children) that do its work, and a proof that it checks.

    ``prove`` hands a message in and raises where the server does not say what it must of it.
    """

    port: int
    pids: tuple[int, ...]
    prove: Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """One server that checks."""

    name: str
    start: Callable[[], AbstractContextManager[Running]]


@dataclass(frozen=True, slots=True)
class Signed:
    """A message in a file with LF line ends, as smtp-source takes it, and the zones about it."""

    path: Path
    zones: Mapping[str, str]


def network() -> None:
    """Bring up this network namespace: a loopback interface that has the client's address too."""
    for words in (("link", "set", "lo", "up"), ("addr", "add", f"{CLIENT}/32", "dev", "lo")):
        subprocess.run(["ip", *words], check=True)


def signed_message(folder: Path, size_bytes: int) -> Signed:
    """A message of that size with a signature of today."""
    key = PrivateKey("rsa", 2048, rsa.generate_private_key(65_537, 2048))
    signer = Signer("tea.example", "s1", key)
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
    head = HEAD.replace(b"{date}", date.encode())
    body = LINE * ((size_bytes - len(head) - 700) // len(LINE))
    hasher = BodyHasher(frozenset({signer.form}))
    hasher.feed(body)
    whole = head + b"\r\n"
    assert summarise(whole).header_end == len(whole)
    field = signer.sign(HeaderFields(whole), hasher.finish(), time.time())
    path = folder / "message"
    path.write_bytes((field + whole + body).replace(b"\r\n", b"\n"))
    zone = [
        "tea MX 10 mail.tea",
        f"mail.tea A {CLIENT}",
        f'tea TXT "v=spf1 ip4:{CLIENT} -all"',
        '_dmarc.tea TXT "v=DMARC1; p=reject"',
        f"s1._domainkey.tea TXT {zone_value(record_text(key))}",
        # RFC 5782 §5: what every list must say.
        *(f"2.0.0.127.{zone}. A 127.0.0.2" for zone in BLOCK_LISTS),
    ]
    return Signed(
        path,
        {
            "example": "\n".join(zone),
            "100.51.198.in-addr.arpa": f"{CLIENT.rpartition('.')[2]} PTR mail.tea.example.",
        },
    )


@contextmanager
def names(folder: Path, zones: Mapping[str, str]) -> Iterator[None]:
    """A resolver on port 53 of this network, which /etc/resolv.conf names within this mount."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", folder / "resolv.conf", "/etc/resolv.conf"], check=True)
    with NsdServer(zones) as dns:
        config = folder / "unbound.conf"
        stubs = "".join(STUB.format(zone=zone, port=dns.port) for zone in zones)
        config.write_text(UNBOUND.format(folder=folder) + stubs)
        unbound = Server("unbound", ["unbound", "-d", "-c", str(config)], folder / "unbound.log")
        with unbound:
            unbound.wait_for_greeting(53)
            yield


def postfix_checked() -> Checked:
    """Postfix with its own DNS checks, opendkim and opendmarc."""

    @contextmanager
    def start() -> Iterator[Running]:
        with short_folder() as folder, ExitStack() as stack:
            milters = []
            for program, config in (("opendkim", OPENDKIM), ("opendmarc", OPENDMARC)):
                path = folder / f"{program}.conf"
                path.write_text(config.format(folder=folder))
                # As root, and in the foreground: nothing of the machine's own set-up is used.
                milter = Server(program, [program, "-f", "-c" if program == "opendmarc" else "-x",
                                          str(path)], folder / f"{program}.log")  # fmt: skip
                milters.append(stack.enter_context(milter))
            sockets = [folder / "dkim.sock", folder / "dmarc.sock"]
            wait_until(lambda: all(path.exists() for path in sockets), "milters", within_s=20)
            listed = ", ".join(f"unix:{path}" for path in sockets)
            settings = PostfixSettings(
                hostname="postfix.test",
                host=CLIENT,
                domains=("sink.test",),
                main_cf=POSTFIX | {"smtpd_milters": listed},
            )
            peer = stack.enter_context(postfix(settings))
            pids = (peer.server.pid, *(milter.pid for milter in milters))

            def prove(message: bytes) -> None:
                hand_in(peer.port, message)
                queue = peer.folder / "queue" / "hold"
                held = [str(path) for path in queue.rglob("*") if path.is_file()]
                found = subprocess.run(
                    ["postcat", "-c", str(peer.config), *held],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                must_say("Postfix", found)

            yield Running(peer.port, pids, prove)

    return Checked("Postfix", start)


def postern_checked(*, compiled: bool) -> Checked:
    """Postern, which has all of it."""

    @contextmanager
    def start() -> Iterator[Running]:
        with tarpit() as silent_port:
            # Its mailboxes are on a server that answers no word: nothing is delivered.
            settings = PosternSettings(
                hostname="postern.test",
                workers=0,
                environment={"PYTHONPATH": str(FOLDER if compiled else SOURCES.parent)},
                listeners=(Listening("mx", bind=f"{CLIENT}:0"),),
                resolver="127.0.0.1:53",
                tables=(
                    ("delivery", f'lmtp = "127.0.0.1:{silent_port}"'),
                    ("limits", "connections_per_address = 1000"),
                    *(("[blocklist]", f'zone = "{zone}"') for zone in BLOCK_LISTS),
                ),
            )
            with postern(settings) as server:
                server.domain_add("sink.test")
                server.mailbox_add(RECIPIENT)
                yield Running(server.port(), (server.pid,), lambda sent: prove(server, sent))

    def prove(server: PosternServer, message: bytes) -> None:
        # Block lists are asked once they were tested themselves.
        passed: set[str] = set()
        for _ in range(PROOFS):
            hand_in(server.port(), message)
            (newest, *_) = told(server.cli_json("why", SENDER), "conversations")
            steps = told(newest, "steps")
            passed = {str(step["step"]) for step in steps if step["result"] == "pass"}
            if passed >= PASSES:
                return
        raise RuntimeError(f"Postern did not pass {PASSES - passed}")

    return Checked("Postern", start)


def told(found: Mapping[str, object], key: str) -> list[dict[str, object]]:
    """The list of objects below ``key``."""
    listed = found[key]
    assert isinstance(listed, list), found
    return listed


def must_say(who: str, found: str) -> None:
    """Raise where a server's Authentication-Results lack one of ``SIGNS``.

    Raises:
        RuntimeError: it did not check, or did not pass what is in order.
    """
    missing = [sign for sign in SIGNS if sign not in found]
    if missing:
        raise RuntimeError(f"{who} did not say {missing}:\n{found[:3000]}")


def hand_in(port: int, message: bytes) -> None:
    """Hand the message in by itself."""
    with smtplib.SMTP(CLIENT, port, "mail.tea.example", timeout=30) as client:
        client.sendmail(SENDER, [RECIPIENT], message.replace(b"\n", b"\r\n"))
