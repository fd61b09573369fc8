"""The world's DNS server (nsd) and home's resolver (unbound), which validates signed zones.

nsd serves each zone at 203.0.113.53, and an empty root: what no zone holds does not exist. Zones
that are to be signed are signed here, each with a key of its own, and unbound is told the keys:
islands of security, no chain from the root.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from tests.lab.namespace import Namespace
from tests.lab.world import DNS, World
from tests.peers.process import Server, short_folder, wait_until

RESOLVER = "127.0.0.1"
PORT = 53
WEEK_S = 7 * 86400
ALGORITHM = dns.dnssectypes.Algorithm.ECDSAP256SHA256

_HEAD = """\
$ORIGIN {origin}
$TTL 300
@ SOA ns.dns.example. hostmaster.dns.example. 1 3600 600 86400 5
@ NS ns.dns.example.
"""

_NSD = """\
server:
  ip-address: {address}@53
  ip-transparent: yes
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  zonelistfile: "{folder}/zone.list"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
{zones}
"""

_UNBOUND = """\
server:
  interface: 127.0.0.1@53
  access-control: 127.0.0.0/8 allow
  directory: "{folder}"
  username: ""
  chroot: ""
  pidfile: "{folder}/unbound.pid"
  use-syslog: no
  logfile: ""
  num-threads: 1
  do-daemonize: no
  module-config: "validator iterator"
  unblock-lan-zones: yes
  insecure-lan-zones: yes
  qname-minimisation: no
  trust-anchor-signaling: no
{anchors}
remote-control:
  control-enable: no
stub-zone:
  name: "."
  stub-addr: {address}@53
  stub-prime: no
"""


@contextmanager
def name_service(
    world: World, zones: Mapping[str, str], signed: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Both servers, for as long as this lasts.

    Args:
        world: where they stand.
        zones: zone name without final dot to records in master file format; SOA and NS are added.
        signed: the same, to be signed.
    """
    with short_folder() as folder:
        plain = {"": "", "dns.example": f"ns A {DNS}", **zones}
        for name, records in plain.items():
            _path(folder, name).write_text(_text(name, records))
        anchors = []
        for name, records in (signed or {}).items():
            text, key = sign(name, records)
            _path(folder, name).write_text(text)
            anchors.append(key)
        names = [*plain, *(signed or {})]
        _configure(folder, names, anchors)
        nsd = Server("nsd", [*world.world.wrapper, "nsd", "-d", "-c", f"{folder}/nsd.conf"],
                     folder / "nsd.log")  # fmt: skip
        unbound = Server(
            "unbound",
            [*world.home.wrapper, "unbound", "-d", "-p", "-c", f"{folder}/unbound.conf"],
            folder / "unbound.log",
        )
        with nsd, unbound:
            wait_until(
                lambda: all(_answers(world.world, DNS, name) for name in names),
                "nsd to serve every zone",
                server=nsd,
            )
            wait_until(
                lambda: _answers(world.home, RESOLVER, "dns.example"), "unbound", server=unbound
            )
            yield


def sign(name: str, records: str) -> tuple[str, str]:
    """The zone signed for a week, and its key as unbound takes it for a trust anchor."""
    key = ec.generate_private_key(ec.SECP256R1())
    dnskey = dns.dnssec.make_dnskey(key.public_key(), ALGORITHM, flags=257)
    zone = dns.zone.from_text(_text(name, records), dns.name.from_text(name), relativize=False)
    with zone.writer() as txn:
        dns.dnssec.sign_zone(zone, txn, keys=[(key, dnskey)], lifetime=WEEK_S)
    return zone.to_text(relativize=False), f"{name}. 300 IN DNSKEY {dnskey.to_text()}"


def _text(name: str, records: str) -> str:
    return f"{_HEAD.format(origin=f'{name}.')}{records}\n"


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name or 'root'}.zone"


def _configure(folder: Path, names: "list[str]", anchors: "list[str]") -> None:
    zones = "".join(
        f'zone:\n  name: "{name or "."}"\n  zonefile: "{_path(folder, name).name}"\n'
        for name in names
    )
    (folder / "nsd.conf").write_text(_NSD.format(address=DNS, folder=folder, zones=zones))
    told = "\n".join(f'  trust-anchor: "{anchor}"' for anchor in anchors)
    (folder / "unbound.conf").write_text(_UNBOUND.format(address=DNS, folder=folder, anchors=told))


def ask(space: Namespace, server: str, name: str, kind: str) -> dns.message.Message:
    """One question over TCP, from a namespace, with DNSSEC asked for."""
    query = dns.message.make_query(name or ".", kind, want_dnssec=True)
    with space.connect(server, PORT) as sock:
        return dns.query.tcp(query, server, timeout=5, sock=sock)


def _answers(space: Namespace, server: str, name: str) -> bool:
    """Whether the zone's SOA is told there."""
    try:
        return bool(ask(space, server, name, "SOA").answer)
    except (OSError, dns.exception.DNSException):
        return False
