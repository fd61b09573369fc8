"""Zones under DNSSEC, served by nsd, and a resolver that validates in front of them: unbound.

``with SignedDns({"tea.test": "@ MX 10 mx\\nmx A 127.0.0.1"}) as dns:`` signs the zones with a key
of their own, serves them by nsd and has unbound, with these keys as trust anchors, answer on
``dns.address`` (``127.0.0.1:PORT``). What is in ``unsigned`` is served as it is; what names in
``spoilt`` (as ``_25._tcp.mx.tea.test``) have does not fit its signatures: unbound says SERVFAIL.
"""

import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import dns.dnssec
import dns.dnssectypes
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.RRSIG
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from tests.peers.dns import _HEAD, NsdServer
from tests.peers.process import Server, free_port

READY_WITHIN_S = 20.0
STARTS = 5
DAYS_S = 7 * 86_400

_CONF = """
server:
  interface: 127.0.0.1@{port}
  do-ip6: no
  do-daemonize: no
  use-syslog: no
  verbosity: 1
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  do-not-query-localhost: no
  module-config: "validator iterator"
  val-log-level: 2
  num-threads: 1
  access-control: 127.0.0.0/8 allow
  minimal-responses: no
  {nodefaults}
{anchors}
remote-control:
  control-enable: no
"""


class SignedDns:
    """nsd with signed zones, and unbound in front of it.

    Args:
        zones: by name, as ``NsdServer`` takes them; signed.
        unsigned: the same, not signed.
        spoilt: names whose records no longer fit their signatures.
    """

    def __init__(
        self,
        zones: Mapping[str, str],
        *,
        unsigned: Mapping[str, str] | None = None,
        spoilt: Collection[str] = (),
    ) -> None:
        self._zones = zones
        self._unsigned = dict(unsigned or {})
        self._spoilt = {dns.name.from_text(name) for name in spoilt}
        self._anchors: list[str] = []
        self._stack = ExitStack()
        self.port = 0

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``, as ``[[resolver]] servers`` takes it."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        with self._stack as stack:
            signed = {name: self._sign(name, text) for name, text in self._zones.items()}
            nsd = stack.enter_context(NsdServer(signed | self._unsigned))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pt-unbound-")))
            self._start(folder, nsd)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _sign(self, name: str, text: str) -> str:
        whole = text if " SOA " in text else _HEAD.format(zone=name) + text + "\n"
        zone = dns.zone.from_text(whole, origin=name, relativize=False)
        key = ec.generate_private_key(ec.SECP256R1())
        algorithm = dns.dnssectypes.Algorithm.ECDSAP256SHA256
        public = dns.dnssec.make_dnskey(key.public_key(), algorithm, flags=257)
        dns.dnssec.sign_zone(zone, keys=[(key, public)], lifetime=DAYS_S, dnskey_ttl=300)
        self._anchors.append(f"{name}. IN DNSKEY {public.to_text()}")
        self._spoil(zone)
        return zone.to_text(relativize=False, want_origin=False)

    def _spoil(self, zone: dns.zone.Zone) -> None:
        """Signatures of another record in place of a name's own."""
        for name in self._spoilt & set(zone.nodes):
            node = zone.nodes[name]
            for rdataset in node.rdatasets:
                if rdataset.rdtype == dns.rdatatype.RRSIG:
                    spoilt = [
                        rdata.replace(signature=bytes(reversed(rdata.signature)))
                        for rdata in rdataset
                        if isinstance(rdata, dns.rdtypes.ANY.RRSIG.RRSIG)
                    ]
                    rdataset.clear()
                    for rdata in spoilt:
                        rdataset.add(rdata)

    def _start(self, folder: Path, nsd: NsdServer) -> None:
        stubs = "".join(
            f'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{nsd.port}\n'
            for zone in (*self._zones, *self._unsigned)
        )
        anchors = "\n".join(f"  trust-anchor: '{anchor}'" for anchor in self._anchors)
        nodefaults = 'local-zone: "test." nodefault\n  local-zone: "127.in-addr.arpa." nodefault'
        for _ in range(STARTS):  # another process may take the port between our look and unbound's
            self.port = free_port()
            conf = folder / "unbound.conf"
            text = _CONF.format(
                port=self.port, folder=folder, anchors=anchors, nodefaults=nodefaults
            )
            conf.write_text(text + stubs)
            command = ["unbound", "-d", "-p", "-c", str(conf)]
            server = Server("unbound", command, folder / "unbound.log").start()
            if self._is_ready(server):
                self._stack.push(server)
                return
            server.stop()
        log = (folder / "unbound.log").read_text("utf-8", "replace")
        raise RuntimeError(f"unbound does not start:\n{log[-4000:]}")

    def _is_ready(self, server: Server) -> bool:
        give_up = time.monotonic() + READY_WITHIN_S
        first = next(iter(self._zones))
        while server.alive() and time.monotonic() < give_up:
            query = dns.message.make_query(f"{first}.", "SOA", flags=dns.flags.RD | dns.flags.AD)
            try:
                response = dns.query.udp(query, "127.0.0.1", timeout=0.5, port=self.port)
            except (OSError, dns.exception.DNSException):
                time.sleep(0.02)
                continue
            return bool(response.flags & dns.flags.AD)
        return False
