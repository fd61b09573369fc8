"""A whole private Postfix: its own configuration, queue and data under a temporary folder.

Needs root (Postfix itself does) and the ``postfix`` user of the Debian package. Nothing under
``/etc/postfix`` or ``/var/spool/postfix`` is read or written.
"""

import grp
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.certificates import KeyPair
from tests.peers.process import Server, free_port, short_folder, wait_until

# Daemons run unchrooted: a chroot would need /etc and libraries copied into the temporary queue.
MASTER_CF = """\
{listen} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

LONG_AGO_S = 1_000_000_000
QUEUES = {
    "active bounce corrupt defer deferred flush hold incoming private saved trace": (0o700, "root"),
    "maildrop": (0o730, "postdrop"),
    "public": (0o710, "postdrop"),
}
"""The folders of the queue as ``/etc/postfix/postfix-files`` wants them; all are postfix's."""


@dataclass(frozen=True, slots=True)
class Smarthost:
    """Where a Postfix sends everything, and how it logs in there."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    ca: Path | None = None
    implicit_tls: bool = False


@dataclass(frozen=True, slots=True)
class PostfixSettings:
    """What one Postfix is to be.

    ``domains`` are delivered to Maildirs, everything else is thrown away (``discard``) unless a
    smarthost or ``transports`` (domain to ``smtp:[host]:port``) say otherwise. ``refuse`` maps a
    recipient to the reply it gets at RCPT. ``main_cf`` has the last word.
    """

    hostname: str = "peer.test"
    host: str = "127.0.0.1"
    domains: tuple[str, ...] = ()
    refuse: Mapping[str, str] = field(default_factory=dict)
    certificate: KeyPair | None = None
    require_tls: bool = False
    smarthost: Smarthost | None = None
    transports: Mapping[str, str] = field(default_factory=dict)
    main_cf: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Postfix:
    """A running Postfix."""

    folder: Path
    host: str
    port: int
    server: Server

    @property
    def config(self) -> Path:
        """The folder that ``postfix -c`` takes."""
        return self.folder / "etc"

    def messages(self, address: str) -> list[bytes]:
        """The messages delivered to ``address`` so far, oldest first.

        virtual(8) cannot build a path from an address it was not told of, so all mail is in one
        Maildir and told apart by the Delivered-To that virtual(8) prepends.
        """
        new = self.folder / "mail" / "all" / "Maildir" / "new"
        mine = f"\nDelivered-To: {address}\n".encode()
        files = (
            sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns) if new.exists() else []
        )
        return [text for text in (path.read_bytes() for path in files) if mine in text[:2000]]

    def wait_for_messages(
        self, address: str, count: int = 1, *, within_s: float = 30.0
    ) -> list[bytes]:
        """Those messages, once there are at least ``count``."""
        wait_until(
            lambda: len(self.messages(address)) >= count,
            f"{count} messages to {address} at {self.server.name}",
            server=self.server,
            within_s=within_s,
        )
        return self.messages(address)

    def wait_for_log(self, pattern: str, *, within_s: float = 30.0) -> re.Match[str]:
        """The first match of ``pattern`` in the mail log, once there is one."""
        wait_until(
            lambda: re.search(pattern, self.server.log_text()) is not None,
            f"{pattern!r} in the log of {self.server.name}",
            server=self.server,
            within_s=within_s,
        )
        match = re.search(pattern, self.server.log_text())
        assert match is not None
        return match

    def queue_length(self) -> int:
        """Messages that are not finished, in whatever queue."""
        queue = self.folder / "queue"
        return sum(
            len(files)
            for name in ("maildrop", "incoming", "active", "deferred", "hold")
            for _, _, files in os.walk(queue / name)
        )

    def flush(self) -> None:
        """Try everything deferred again now."""
        subprocess.run(["postqueue", "-c", str(self.config), "-f"], check=True, capture_output=True)

    def submit(self, sender: str, recipients: list[str], message: bytes) -> None:
        """Hand in a message by sendmail(1), as a local program would."""
        subprocess.run(
            ["sendmail", "-C", str(self.config), "-i", "-f", sender, "--", *recipients],
            input=message,
            check=True,
            capture_output=True,
        )


@contextmanager
def postfix(settings: PostfixSettings | None = None) -> Iterator[Postfix]:
    """Start a private Postfix on a free port; stop it and remove its folder afterwards."""
    settings = settings or PostfixSettings()
    with short_folder() as folder:
        port = free_port(settings.host)
        write_configuration(folder, port, settings)
        server = Server(
            f"postfix {settings.hostname}",
            ["/usr/sbin/postfix", "-c", str(folder / "etc"), "start-fg"],
            folder / "log" / "mail.log",
        )
        with server:
            server.wait_for_greeting(port, b"220 ", settings.host)
            try:
                yield Postfix(folder, settings.host, port, server)
            finally:
                # start-fg is a shell above master(8), which takes its children along. `postfix
                # stop` would do no more, and looks only once a second whether it has ended.
                with suppress(OSError):
                    os.kill(int((folder / "queue/pid/master.pid").read_text()), signal.SIGTERM)


def write_configuration(folder: Path, port: int, settings: PostfixSettings) -> None:
    """Lay out the folders and write ``main.cf``, ``master.cf`` and the tables they name."""
    for name in ("etc", "queue", "data", "mail", "log"):
        (folder / name).mkdir()
    make_queue(folder / "queue")
    shutil.chown(folder / "data", "postfix")
    nobody = pwd.getpwnam("nobody")
    os.chown(folder / "mail", nobody.pw_uid, nobody.pw_gid)
    main = {
        **_paths(folder),
        **_reception(folder, settings),
        **_delivery(folder, settings, nobody),
        **settings.main_cf,
    }
    config = folder / "etc"
    (config / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in main.items()))
    (config / "master.cf").write_text(MASTER_CF.format(listen=f"{settings.host}:{port}"))
    # A file written just now is read again and again for a second: it might be half there.
    for path in config.iterdir():
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))


def make_queue(folder: Path) -> None:
    """Lay out the queue and say so, or ``postfix start`` spends two seconds on doing it."""
    (folder / "pid").mkdir()
    for names, (mode, group) in QUEUES.items():
        for name in names.split():
            (folder / name).mkdir()
            shutil.chown(folder / name, "postfix", group)
            (folder / name).chmod(mode)
    (folder / "quick-start").touch()


def _paths(folder: Path) -> dict[str, str]:
    return {
        "compatibility_level": "3.6",
        "queue_directory": f"{folder}/queue",
        "data_directory": f"{folder}/data",
        "command_directory": "/usr/sbin",
        "daemon_directory": "/usr/lib/postfix/sbin",
        "mail_owner": "postfix",
        "setgid_group": grp.getgrnam("postdrop").gr_name,
        "maillog_file": f"{folder}/log/mail.log",
        "maillog_file_prefixes": "/tmp",
    }


def _reception(folder: Path, settings: PostfixSettings) -> dict[str, str]:
    refused = folder / "etc" / "refused"
    refused.write_text(
        "".join(f"/^{re.escape(address)}$/ {reply}\n" for address, reply in settings.refuse.items())
    )
    main = {
        "myhostname": settings.hostname,
        "mydestination": "",
        "mynetworks": "127.0.0.0/8 [::1]/128",
        "inet_interfaces": settings.host,
        "inet_protocols": "ipv6" if ":" in settings.host else "ipv4",
        "smtpd_recipient_restrictions": (
            f"check_recipient_access regexp:{refused}, permit_mynetworks, reject"
        ),
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "disable_dns_lookups": "yes",
        "smtpd_peername_lookup": "no",
    }
    if settings.certificate:
        main |= {
            "smtpd_tls_cert_file": str(settings.certificate.cert),
            "smtpd_tls_key_file": str(settings.certificate.key),
            "smtpd_tls_security_level": "encrypt" if settings.require_tls else "may",
            "smtpd_tls_received_header": "yes",
        }
    return main


def _delivery(folder: Path, settings: PostfixSettings, owner: pwd.struct_passwd) -> dict[str, str]:
    transports = folder / "etc" / "transports"
    transports.write_text("".join(f"{key} {value}\n" for key, value in settings.transports.items()))
    main = {
        "alias_maps": "",
        "alias_database": "",
        "virtual_mailbox_domains": " ".join(settings.domains),
        "virtual_mailbox_base": f"{folder}/mail",
        "virtual_mailbox_maps": "static:all/Maildir/",
        "virtual_uid_maps": f"static:{owner.pw_uid}",
        "virtual_gid_maps": f"static:{owner.pw_gid}",
        "virtual_mailbox_limit": "0",
        "message_size_limit": "104857600",
        "transport_maps": f"texthash:{transports}",
        "default_transport": "discard:",
    }
    if settings.smarthost:
        main |= _smarthost(folder, settings.smarthost)
    return main


def _smarthost(folder: Path, smarthost: Smarthost) -> dict[str, str]:
    relay = f"[{smarthost.host}]:{smarthost.port}"
    main = {"default_transport": "smtp", "relayhost": relay}
    if smarthost.ca:
        main |= {
            "smtp_tls_security_level": "verify" if not smarthost.host[0].isdigit() else "encrypt",
            "smtp_tls_CAfile": str(smarthost.ca),
            "smtp_tls_wrappermode": "yes" if smarthost.implicit_tls else "no",
        }
    if smarthost.username:
        passwords = folder / "etc" / "passwords"
        passwords.write_text(f"{relay} {smarthost.username}:{smarthost.password}\n")
        passwords.chmod(0o600)
        main |= {
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_password_maps": f"texthash:{passwords}",
            "smtp_sasl_security_options": "noanonymous",
            "smtp_sasl_mechanism_filter": "plain, login",
        }
    return main
