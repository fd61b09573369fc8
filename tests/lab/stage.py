"""A world with everybody in it: Postern at home, its relay abroad, MX hosts, DNS, a recorder.

``with stage(*providers) as s:`` takes about three seconds. Real seconds pass; what takes hours in
an operator's day (tests of a blocked path, retries) is set shorter by ``SHORTENED``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.lab.actors import Actors, actors
from tests.lab.cast import Provider
from tests.lab.dns import name_service
from tests.lab.mail import ALICE, Sender
from tests.lab.policies import policies
from tests.lab.wire import Wire, recorded
from tests.lab.world import ABROAD, DNS, HOME, HOME_SECOND, World, world
from tests.peers.certificates import Authority, KeyPair
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import short_folder

RELAY = "us1.abroad.example"
RELAY_PORT = 587
SHORTENED: Mapping[str, Mapping[str, str]] = {
    "delivery": {"final_dot_timeout_s": "6"},
    "queue": {"first_retry_s": "10", "max_retry_s": "20"},
}
"""Table to settings to their values, of the Postern at home."""

_EGRESS = f"""\
name = "us1"
relay = "{RELAY}:{RELAY_PORT}"
username = "{ALICE}"
password_file = "{{password}}"
tls = "verify"
"""


@dataclass
class Stage:
    """Everybody, running."""

    world: World
    actors: Actors
    home: PosternServer
    relay: PosternServer | None
    sender: Sender
    wire: Wire
    providers: Sequence[Provider] = field(default=())

    @property
    def port(self) -> int:
        """Where programs at home hand in their mail."""
        return self.home.port("mx")


@contextmanager
def stage(
    *providers: Provider,
    has_relay: bool = True,
    settings: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Stage]:
    """Set it up, and take it down again.

    Args:
        providers: who lives in the world. All behave well at first.
        has_relay: there is a relay abroad, and Postern knows of it.
        settings: more of Postern's settings, by table, over ``SHORTENED``.
    """
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = enter(short_folder())
        authority = Authority(folder)
        made = enter(world())
        hosts = [name for provider in providers for name in provider.names]
        good = authority.issue("mx.world.example", *hosts)
        cast = [_with_records(provider, good) for provider in providers]
        plain, signed = _zones(cast)
        enter(name_service(made, plain, signed))
        acting = enter(actors(made.world, good))
        acting.behave(ip for provider in cast for ip in provider.addresses)
        enter(policies(made.world, authority, cast))
        relay = enter(_relay(made, authority)) if has_relay else None
        home = enter(_home(made, authority, folder, relay=relay, settings=settings or {}))
        wire = enter(recorded(made.router))
        sender = Sender(made.home, home.port("mx"))
        stack.callback(sender.close)
        yield Stage(made, acting, home, relay, sender, wire, cast)


def _with_records(provider: Provider, certificate: KeyPair) -> Provider:
    """The provider with the TLSA record that its hosts' certificate needs, where it has any."""
    if provider.tlsa != MATCHING:
        return provider
    return replace(provider, tlsa=f"3 1 1 {key_digest(certificate.cert)}")


MATCHING = "matching"
"""As a provider's ``tlsa``: the record that its hosts' certificate fits."""


def key_digest(certificate: Path) -> str:
    """The SHA-256 of a certificate's public key, as ``TLSA 3 1 1`` has it (RFC 7671 §5.1)."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    key = loaded.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(key).hexdigest()


def _zones(cast: "Sequence[Provider]") -> tuple[dict[str, str], dict[str, str]]:
    """Plain zones, and those to be signed."""
    plain = {
        "home.example": f'@ MX 10 mx\n@ A {HOME}\nmx A {HOME}\n@ TXT "v=spf1 ip4:{HOME}'
        f' ip4:{HOME_SECOND} ip4:{ABROAD} -all"',
        "abroad.example": f"us1 A {ABROAD}",
    }
    signed: dict[str, str] = {}
    for provider in cast:
        (signed if provider.is_signed else plain).update(provider.zones())
    return plain, signed


@contextmanager
def _relay(made: World, authority: Authority) -> Iterator[PosternServer]:
    """The Postern abroad, which takes Alice's mail under TLS and a password."""
    settings = PosternSettings(
        hostname=RELAY,
        listeners=(Listening("submission", f"{ABROAD}:{RELAY_PORT}"),),
        certificate=authority.issue(RELAY),
        resolver=f"{DNS}:53",
        wrapper=made.abroad.wrapper,
    )
    with postern(settings) as relay:
        relay.domain_add("home.example")
        relay.mailbox_add(ALICE, "relay secret")
        yield relay


@contextmanager
def _home(
    made: World,
    authority: Authority,
    folder: Path,
    *,
    relay: PosternServer | None,
    settings: Mapping[str, Mapping[str, str]],
) -> Iterator[PosternServer]:
    """The Postern that all is about."""
    password = folder / "password"
    password.write_text("relay secret\n")
    password.chmod(0o600)
    egresses = [("[egress]", f'name = "direct"\nsource = "{HOME}"')]
    if relay is not None:
        egresses.append(("[egress]", _EGRESS.format(password=password)))
    tables = {table: {**SHORTENED.get(table, {}), **settings.get(table, {})}
              for table in {**SHORTENED, **settings}}  # fmt: skip
    lines = [
        (table, "\n".join(f"{k} = {v}" for k, v in each.items())) for table, each in tables.items()
    ]
    with postern(
        PosternSettings(
            hostname="mx.home.example",
            listeners=(Listening("mx", "127.0.0.1:0", 'relay_from = ["127.0.0.0/8"]'),),
            certificate=authority.issue("mx.home.example"),
            resolver="127.0.0.1:53",
            tables=(*egresses, *lines),
            environment={"SSL_CERT_FILE": str(authority.ca)},
            wrapper=made.home.wrapper,
        )
    ) as home:
        home.domain_add("home.example")
        home.mailbox_add(ALICE)
        yield home
