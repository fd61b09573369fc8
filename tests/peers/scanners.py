"""Real scanners for as long as a test needs them: clamd, rspamd and spamd, without network.

``with clamd() as scanner:`` knows one virus, the EICAR test string; ``rspamd()`` and ``spamd()``
give their points for ``SPAM_WORD`` (more than they require, less than rspamd's reject) and for
``WORST_WORD``. Each can be hung, woken, killed and started again in the same place.
"""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.peers.process import Server, free_port, short_folder, wait_until

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE" + b"!$H+H*"
"""Made of parts, or scanners would find it here."""
SIGNATURE = "Postern.Test.EICAR"
SPAM_WORD = b"postern-lab-spam"
WORST_WORD = b"postern-lab-worst"


@dataclass
class ScannerPeer:
    """A scanner that runs, hangs, or is gone; ``socket`` is what the setting takes."""

    server: Server
    socket: str
    port: int = 0
    path: Path | None = None

    def hang(self) -> None:
        """Stop it and all its children in the middle of whatever they do."""
        os.killpg(self.server.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        os.killpg(self.server.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory is out."""
        with suppress(ProcessLookupError):
            os.killpg(self.server.pid, signal.SIGKILL)
        self.server.stop()

    def start(self) -> None:
        """Start it, and return once it listens."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        self.server.start()
        wait_until(self._listens, f"{self.server.name} to listen", server=self.server)

    def _listens(self) -> bool:
        if self.path is None:
            address: tuple[str, int] | str = ("127.0.0.1", self.port)
            family = socket.AF_INET
        else:
            address, family = str(self.path), socket.AF_UNIX
        with socket.socket(family) as probe:
            probe.settimeout(5)
            try:
                probe.connect(address)
            except OSError:
                return False
            return True


@contextmanager
def _running(peer: ScannerPeer) -> Iterator[ScannerPeer]:
    try:
        peer.start()
        yield peer
    finally:
        with suppress(ProcessLookupError):
            peer.wake()
        peer.server.stop()


@contextmanager
def clamd(
    *, tcp: bool = False, stream_max: str = "60M", tells_excess: bool = True, more: str = ""
) -> Iterator[ScannerPeer]:
    """clamd on a unix socket, or on TCP.

    ``tells_excess``: it says so where it looked at a part only; ``more`` are lines of its
    configuration.
    """
    with short_folder() as folder:
        database = folder / "db"
        database.mkdir()
        (database / "lab.ndb").write_text(f"{SIGNATURE}:0:*:{EICAR.hex()}\n")
        port = free_port() if tcp else 0
        place = f"TCPAddr 127.0.0.1\nTCPSocket {port}" if tcp else f"LocalSocket {folder}/c.sock"
        conf = folder / "clamd.conf"
        conf.write_text(
            f"{place}\nDatabaseDirectory {database}\nForeground yes\nLogFile {folder}/out\n"
            f"StreamMaxLength {stream_max}\nMaxThreads 4\n"
            f"AlertExceedsMax {'yes' if tells_excess else 'no'}\nTemporaryDirectory /tmp\n{more}\n"
        )
        folder.chmod(0o777)
        server = Server("clamd", [_program("clamd"), "-c", str(conf)], folder / "log")
        path = None if tcp else folder / "c.sock"
        where = f"127.0.0.1:{port}" if tcp else str(path)
        with _running(ScannerPeer(server, where, port, path)) as peer:
            yield peer


_RSPAMD = """
options {{
  filters = ""; url_tld = "{folder}/tld"; tempdir = "{folder}"; hs_cache_dir = "{folder}";
  pidfile = "{folder}/pid"; control_socket = "{folder}/control mode=0600";
  rrd = ""; history_file = "";
  dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "warning"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
lua = "{folder}/rules.lua"
"""
_RULES = """
local function word(name, text, score)
  rspamd_config:register_symbol({{name = name, score = score, callback = function(task)
    return string.find(tostring(task:get_content()), text, 1, true) ~= nil
  end}})
end
word('LAB_SPAM', '{spam}', 7.5)
word('LAB_WORST', '{worst}', 20)
rspamd_config:register_symbol({{name = 'LAB_ENVELOPE', score = 0.1, callback = function(task)
  local ip, from, rcpt = task:get_from_ip(), task:get_from('smtp'), task:get_recipients('smtp')
  local known = ip and ip:is_valid() and from and rcpt and task:get_helo()
  return known and task:get_queue_id() ~= nil or false
end}})
"""


@contextmanager
def rspamd() -> Iterator[ScannerPeer]:
    """rspamd's scanning process, with three rules of our own and none of its modules."""
    with short_folder() as folder:
        port = free_port()
        folder.chmod(0o777)
        (folder / "tld").write_text("com\ntest\nexample\n")
        (folder / "rspamd.conf").write_text(_RSPAMD.format(folder=folder, port=port))
        (folder / "rules.lua").write_text(
            _RULES.format(spam=SPAM_WORD.decode(), worst=WORST_WORD.decode())
        )
        user = ["-u", "nobody", "-g", "nogroup"] if os.geteuid() == 0 else ["-i"]
        command = [_program("rspamd"), "-f", *user, "-c", str(folder / "rspamd.conf")]
        server = Server("rspamd", command, folder / "log")
        with _running(ScannerPeer(server, f"127.0.0.1:{port}", port)) as peer:
            yield peer


@contextmanager
def spamd() -> Iterator[ScannerPeer]:
    """SpamAssassin's daemon, with two rules of our own and none of its plugins but one."""
    with short_folder() as folder:
        port = free_port()
        rules, site = folder / "rules", folder / "site"
        for each in (rules, site):
            each.mkdir()
            (each / "init.pre").write_text("loadplugin Mail::SpamAssassin::Plugin::Check\n")
        (rules / "lab.cf").write_text(
            f"body LAB_SPAM /{SPAM_WORD.decode()}/\nscore LAB_SPAM 7.5\n"
            f"body LAB_WORST /{WORST_WORD.decode()}/\nscore LAB_WORST 20\n"
            "required_score 5\nuse_bayes 0\n"
        )
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [
            _program("spamd"), "--local", *user, "-x", "-m", "2", "--min-children", "1",
            "-i", "127.0.0.1", "-p", str(port), "-C", str(rules),
            f"--siteconfigpath={site}", "-s", "stderr",
        ]  # fmt: skip
        server = Server("spamd", command, folder / "log")
        with _running(ScannerPeer(server, f"127.0.0.1:{port}", port)) as peer:
            yield peer


def _program(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed"
    return path
