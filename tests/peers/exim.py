"""Exim as a client: the one that asks for an answer for each recipient (PRDR).

Debian lets only one mail server be installed, so ``scripts/peers`` unpacks Exim's program beside
Postfix's. It runs as root from a folder of its own and knows nobody but the server it is told of.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.peers.process import short_folder

# "  SMTP<< 250 ok" and further lines of the same reply; "  SMTP>> QUIT", "|>" and "+>" in a bundle.
SERVER = re.compile(r"^(?:  SMTP<< | {9})(\d\d\d[ -].*)$")
CLIENT = re.compile(r"^  SMTP[>|+]> (.*)$")
ENDED = re.compile(r"^  (=>|->|==|\*\*) ([^:\s]\S*[^:\s])", re.MULTILINE)

CONFIG = """\
primary_hostname = {helo}
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
exim_user = nobody
exim_group = nogroup
trusted_users = root
daemon_smtp_ports =
local_interfaces = 127.0.0.1
keep_environment =
timezone = UTC
disable_ipv6
dns_ipv4_lookup = *
qualify_domain = {helo}
log_selector = +smtp_confirmation
bounce_return_body = false
begin routers
its_own_bounces:
  driver = redirect
  senders = :
  data = :blackhole:
all:
  driver = manualroute
  route_list = * 127.0.0.1 byname
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {port}
  allow_localhost
  hosts_try_chunking = {chunking}
  hosts_avoid_tls = *
  tls_tempfail_tryclear = false
begin retry
* * F,1d,15m
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """How one message fared.

    ``delivered``, ``deferred`` and ``failed`` are recipients as Exim's log has them; ``lines`` the
    dialogue as it saw it, ``("C" or "S", text)``; ``transcript`` all that it said.
    """

    delivered: tuple[str, ...]
    deferred: tuple[str, ...]
    failed: tuple[str, ...]
    lines: tuple[tuple[str, str], ...]
    transcript: str

    def replies(self, code: str) -> list[str]:
        """The server's lines that begin with ``code``."""
        return [text for side, text in self.lines if side == "S" and text.startswith(code)]


def exim(
    port: int,
    *,
    sender: str,
    to: Sequence[str],
    message: bytes,
    helo: str = "mail.tea.test",
    chunking: bool = False,
    timeout_s: float = 60.0,
) -> Sent:
    """Send one message to the server on that loopback port, all recipients in one transaction."""
    with short_folder() as folder:
        config = folder / "exim.conf"
        config.write_text(
            CONFIG.format(
                program=shutil.which("exim4"),
                folder=folder,
                helo=helo,
                port=port,
                chunking="*" if chunking else "",
            )
        )
        shutil.chown(folder, "nobody", "nogroup")
        done = subprocess.run(
            ["exim4", "-C", str(config), "-v", "-odi", "-oi", "-f", sender, *to],
            input=message,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    told = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, told
    return Sent(
        tuple(_ended(told, "=>", "->")),
        tuple(_ended(told, "==")),
        tuple(_ended(told, "**")),
        tuple(_dialogue(told)),
        told,
    )


def _ended(told: str, *arrows: str) -> list[str]:
    """The recipients behind these arrows of Exim's log, in its order."""
    return [address for arrow, address in ENDED.findall(told) if arrow in arrows]


def _dialogue(told: str) -> Iterator[tuple[str, str]]:
    for line in told.splitlines():
        if said := CLIENT.match(line):
            yield "C", said[1]
        elif said := SERVER.match(line):
            yield "S", said[1]
