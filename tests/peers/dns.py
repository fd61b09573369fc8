"""A real DNS server (nsd) for as long as a test needs it.

``with NsdServer({"example.test": "@ MX 10 mx\\nmx A 127.0.0.1"}) as dns:`` serves the zone on
``dns.address`` (``127.0.0.1:PORT``), UDP and TCP. It is authoritative: names outside its zones are
refused, which a resolver takes for "couldn't tell".
"""

import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query
from tests.peers.process import Server

READY_WITHIN_S = 20.0
ASK_AGAIN_S = 0.05
"""What it is asked while it binds its sockets gets no answer."""
STARTS = 5

_CONF = """
server:
  ip-address: 127.0.0.1@{port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  zonelistfile: "{folder}/zone.list"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  logfile: "{folder}/nsd.out"
  hide-version: yes
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  do-ip6: no
remote-control:
  control-enable: no
"""

_HEAD = """$ORIGIN {zone}.
$TTL 300
@ SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 60
@ NS ns.{zone}.
ns A 127.0.0.1
"""


def nsd_path() -> str | None:
    """Where nsd is installed, or None."""
    return shutil.which("nsd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")


class NsdServer:
    """nsd on a free loopback port, in a folder of its own.

    Args:
        zones: zone name without final dot -> records in master file format. Where they hold no SOA,
            an origin, a TTL of 300 s, an SOA with a minimum of 60 s and an NS are put in front.
    """

    def __init__(self, zones: Mapping[str, str]) -> None:
        self._zones = dict(zones)
        self._folder: Path | None = None
        self._server: Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``, as ``[[resolver]] servers`` takes it."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="pt-nsd-"))
        try:
            self._start(self._folder)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _start(self, folder: Path) -> None:
        path = nsd_path()
        assert path is not None, "nsd is not installed"
        for zone, text in self._zones.items():
            head = "" if " SOA " in text else _HEAD.format(zone=zone)
            (folder / f"{zone}.zone").write_text(head + text + "\n")
        zones = "".join(
            f'zone:\n  name: "{zone}"\n  zonefile: "{zone}.zone"\n' for zone in self._zones
        )
        for _ in range(STARTS):  # another process may take the port between our look and nsd's
            self.port = _free_port()
            conf = folder / "nsd.conf"
            conf.write_text(_CONF.format(port=self.port, folder=folder) + zones)
            self._server = Server("nsd", [path, "-d", "-c", str(conf)], folder / "nsd.out").start()
            if self._is_ready(self._server):
                return
            self._server.stop()
        log = "" if self._server is None else self._server.log_tail()
        raise RuntimeError(f"nsd does not start:\n{log}")

    def _is_ready(self, server: Server) -> bool:
        """Wait until every zone's SOA is answered; False when nsd ended or a zone is not served."""
        give_up = time.monotonic() + READY_WITHIN_S
        waiting = list(self._zones)
        while waiting and server.alive() and time.monotonic() < give_up:
            query = dns.message.make_query(waiting[-1] + ".", "SOA")
            try:
                response = dns.query.udp(query, "127.0.0.1", timeout=ASK_AGAIN_S, port=self.port)
            except (OSError, dns.exception.DNSException):
                time.sleep(0.02)
                continue
            if not response.answer:
                return False  # the zone file has a mistake; the log says which
            waiting.pop()
        return not waiting

    def _end(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _free_port() -> int:
    """A port of 127.0.0.1 that is free for TCP and UDP alike."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
