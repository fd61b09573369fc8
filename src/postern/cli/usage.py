"""How full mailboxes are, for whoever looks: nothing is written, whoever gives the command."""

from postern.cli.output import note
from postern.config.load import load
from postern.delivery.maildir_store import parse_home
from postern.delivery.maildir_usage import MaildirUsage
from postern.directory.names import home_path
from postern.mail.address import Address
from postern.runtime.clock import SystemClock


class Usages:
    """Reads what Maildirs hold, as the configuration places them.

    ``is_elsewhere``: another server stores them; its own limits hold, and nothing is read here.
    """

    def __init__(self) -> None:
        config = load(None)
        self.is_elsewhere = bool(config.delivery.lmtp)
        self._usage = MaildirUsage(config.maildir_root, SystemClock())

    def of(self, address: Address, *, count_all: bool = False) -> int | None:
        """Octets in a mailbox of ours; None where it is not known, or another server stores it.

        Args:
            address: the mailbox.
            count_all: count all its messages where nobody keeps an account of them.
        """
        home = parse_home(home_path(address.domain, address.local))
        if self.is_elsewhere or home is None:
            return None
        try:
            return self._usage.look(home, count_all=count_all)
        except OSError:
            return None


def note_elsewhere() -> None:
    """A limit that nobody looks at must not be taken for one."""
    if Usages().is_elsewhere:
        note("mail is stored by another server ([delivery] lmtp): its own limits hold, not this")
