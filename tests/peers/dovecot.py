"""A private Dovecot: LMTP to deliver to, IMAP to read with, under a temporary folder."""

import imaplib
import os
import pwd
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.process import Server, free_port, short_folder

PASSWORD = "mailbox-secret"

# {owner} reads and writes the mail, {inner} serves logins; the Debian package made both.
CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = {inner}
default_internal_group = {inner_group}
default_login_user = {login}
mail_location = maildir:{folder}/mail/%d/%n/Maildir
first_valid_uid = 1
auth_username_format = %Lu
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%d/%n {allow_all}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
service auth {{
  unix_listener {folder}/sasl {{
    mode = 0666
  }}
}}
service stats {{
  client_limit = 1000
}}
namespace inbox {{
  inbox = yes
}}
protocol lmtp {{
  postmaster_address = postmaster@peer.test
}}
"""

# What Dovecot's own manual shows for a quota that Postfix asks for, but for the grace: none.
QUOTA = """\
mail_plugins = quota
plugin {{
  quota = maildir:User quota
  quota_rule = *:storage={quota}
  quota_grace = 0
  quota_status_success = DUNNO
  quota_status_nouser = DUNNO
  quota_status_overquota = "552 5.2.2 Mailbox is full"
}}
service quota-status {{
  executable = quota-status -p postfix
  unix_listener {folder}/quota {{
    mode = 0666
  }}
  inet_listener {{
    port = {quota_port}
  }}
}}
"""


@dataclass
class Dovecot:
    """A running Dovecot. Every address is a mailbox; its password is ``PASSWORD``."""

    folder: Path
    lmtp_port: int
    imap_port: int
    server: Server
    quota_port: int = 0

    @property
    def lmtp_socket(self) -> Path:
        """The unix socket that takes LMTP."""
        return self.folder / "lmtp"

    @property
    def sasl_socket(self) -> Path:
        """Where Postfix asks for logins; any name with ``PASSWORD`` is let in."""
        return self.folder / "sasl"

    @property
    def quota_socket(self) -> Path:
        """The unix socket that tells how full mailboxes are, where there is a quota."""
        return self.folder / "quota"

    def deliver(self, address: str, data: bytes) -> bool:
        """Put a message into a mailbox by LMTP; False when it is not taken."""
        with smtplib.LMTP("127.0.0.1", self.lmtp_port) as lmtp:
            try:
                lmtp.sendmail("filler@peer.test", [address], data)
            except smtplib.SMTPResponseException:
                return False
            except smtplib.SMTPRecipientsRefused:
                return False
        return True

    def empty(self, address: str) -> None:
        """Delete the address's mail as its owner does, by IMAP."""
        with imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=20) as imap:
            imap.login(address, PASSWORD)
            imap.select("INBOX")
            imap.store("1:*", "+FLAGS", "\\Deleted")
            imap.expunge()

    def messages(self, address: str) -> list[bytes]:
        """The messages in the address's inbox, as IMAP shows them."""
        with imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=20) as imap:
            imap.login(address, PASSWORD)
            imap.select("INBOX", readonly=True)
            _, numbers = imap.search(None, "ALL")
            found: list[bytes] = []
            for number in numbers[0].split():
                _, parts = imap.fetch(number.decode(), "(BODY.PEEK[])")
                assert isinstance(parts[0], tuple)
                found.append(parts[0][1])
            return found


@contextmanager
def dovecot(*, quota: str = "") -> Iterator[Dovecot]:
    """Start a private Dovecot on free ports; stop it and remove its folder afterwards.

    ``quota`` (``100k``) limits every mailbox, and has ``quota-status`` tell of it.
    """
    with short_folder() as folder:
        lmtp_port, imap_port = free_port(), free_port()
        quota_port = free_port() if quota else 0
        owner = pwd.getpwnam("nobody")
        for name in ("run", "state", "mail"):
            (folder / name).mkdir()
        os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
        configuration = folder / "dovecot.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                inner="dovecot",
                inner_group="dovecot",
                login="dovenull",
                uid=owner.pw_uid,
                gid=owner.pw_gid,
                allow_all="allow_all_users=yes",
                password=PASSWORD,
                imap_port=imap_port,
                lmtp_port=lmtp_port,
            )
            + (QUOTA.format(folder=folder, quota=quota, quota_port=quota_port) if quota else "")
        )
        server = Server(
            "dovecot", ["/usr/sbin/dovecot", "-F", "-c", str(configuration)], folder / "log"
        )
        with server:
            server.wait_for_greeting(lmtp_port, b"220 ")
            server.wait_for_greeting(imap_port, b"* OK")
            yield Dovecot(folder, lmtp_port, imap_port, server, quota_port)
