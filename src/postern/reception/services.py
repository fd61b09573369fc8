"""What every session of a worker uses; one value, made once by ``app``."""

from dataclasses import dataclass, field
from typing import Protocol

from postern.directory.credentials import Authenticator
from postern.directory.freezes import Frozen, nobody_frozen
from postern.directory.reader import Account, Directory
from postern.directory.signers import Signers
from postern.mail.address import Address
from postern.policy.policy import Policy
from postern.reception.codes import Numbers
from postern.reception.greeting import PatientClients
from postern.reception.recipients import Recipients
from postern.reception.settings import ReceptionSettings
from postern.reception.tally import Tally
from postern.runtime.clock import Clock
from postern.spool.message import Message
from postern.spool.spool import Spool


class Outgoing(Protocol):
    """Where accepted mail goes on from here; the queue is one."""

    def prepare(self, message: Message) -> None:
        """Called before a message is made durable."""
        ...

    def submit(self, message: Message) -> None:
        """Called once it is durable."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms that a session leans on.

    ``policy`` None: nobody is examined. ``signers`` None: nothing is signed. ``frozen``: who may
    send nothing. ``hop_key``: of the marks on mail that left through relays of ours.
    """

    settings: ReceptionSettings
    spool: Spool
    outgoing: Outgoing
    directory: Directory
    recipients: Recipients
    authenticator: Authenticator
    numbers: Numbers
    clock: Clock
    tally: Tally = field(default_factory=Tally)
    policy: Policy | None = None
    signers: Signers | None = None
    frozen: Frozen = field(default_factory=nobody_frozen)
    patient: PatientClients = field(default_factory=PatientClients)
    hop_key: bytes = field(default=b"", repr=False)

    def may_send_as(self, account: Account, address: Address) -> bool:
        """Whether ``account`` may name ``address`` as sender or author.

        Another server of ours relays the mail of all its users.
        """
        return self.is_server(account) or self.directory.may_send_as(account, address)

    def is_server(self, account: Account) -> bool:
        """Whether another server of ours signs in as ``account``, and no person."""
        return account.address.key in self.settings.relay_accounts
