"""A whole message shown to the scanners before it is taken.

Mail from outside is shown to them while the checks look at it. Our own users' mail, and that of
programs on this machine, nobody else looks at: a virus or what the operator's own scanner finds is
judged here, by how the recipient's domain (or, for mail that leaves, the sender's) treats it. No
rule counts then, as none does where there is no scanner.
"""

from postern.directory.resolution import NotOurs
from postern.mail.address import Address
from postern.mail.finding import Finding
from postern.policy.checks.check import Found
from postern.policy.judge import Judgement
from postern.policy.policy import Policy
from postern.policy.recipient import judge_for, need_of
from postern.policy.rules.book import Book
from postern.policy.rules.match import Facts
from postern.policy.scanners.scan import Specimen
from postern.policy.scanners.scanners import Scanners, Scans
from postern.policy.scanners.settings import FOR_EVERYBODY, Need
from postern.reception.client import Client
from postern.reception.record import Record
from postern.reception.services import Services
from postern.reception.settlement import Custody, Settlement, named_by, settle
from postern.reception.transaction import Transaction


class Screening:
    """One message at the scanners. ``end`` it, whatever happens.

    Attributes:
        fields: what they found, to be put on top of the message.
    """

    __slots__ = ("_client", "_policy", "_record", "_scans", "_services", "_transaction", "fields")

    def __init__(
        self,
        services: Services,
        policy: Policy,
        client: Client,
        record: Record,
        transaction: Transaction,
    ) -> None:
        self._services = services
        self._policy = policy
        self._client = client
        self._record = record
        self._transaction = transaction
        self._scans: Scans | None = None
        self.fields = b""

    async def begin(self, scanners: Scanners, need: Need, ptr: str = "") -> None:
        """Show them the message, which has come whole.

        Raises:
            OSError: the disk could not take it.
        """
        transaction, client, body = self._transaction, self._client, self._transaction.body
        assert body is not None
        sender = transaction.sender.address
        content = await body.content()
        specimen = Specimen(
            content,
            transaction.trace,
            self._services.settings.hostname,
            client.ip,
            self._record.helo,
            ptr,
            "" if sender is None else str(sender),
            tuple(dict.fromkeys(delivery.original for delivery in transaction.deliveries)),
            client.account_name,
        )
        self._scans = scanners.begin(specimen, need)

    async def scanned(self) -> Found:
        """Wait for what they say."""
        assert self._scans is not None
        report = await self._scans.report()
        self.fields = report.fields
        return Found(report.findings)

    def end(self) -> None:
        """What still runs is given up."""
        if self._scans is not None:
            self._scans.end()

    # --- mail that nobody else looks at ----------------------------------------------------------

    async def look(self, scanners: Scanners) -> tuple[Finding, ...]:
        """Have it looked at by the scanners that every message is shown to."""
        families = scanners.families & FOR_EVERYBODY
        names = (named_by(delivery) for delivery in self._transaction.deliveries)
        need = need_of(((named, self._book(named)) for named in names), families)
        await self.begin(scanners, need)
        found = await self.scanned()
        for finding in found.findings:
            self._record.found(finding)
        return found.findings

    def settle(self, findings: tuple[Finding, ...], size_bytes: int) -> Settlement:
        """Mark what goes to Junk and what is held; refuse it for who refuses it, or for all."""
        facts = Facts(self._services.clock.now(), header_from=(), list_id="")

        def judge(named: Address, place: Address) -> Judgement:
            del place  # no mailbox's own rules count
            return judge_for(named, findings, facts, self._book(named))

        services = self._services
        custody = Custody(
            services.spool.holdings, services.directory.owner_of, size_bytes, facts.at
        )
        return settle(self._transaction, judge, custody, self._policy.help_url)

    def _book(self, named: Address) -> Book:
        """How the domain whose settings count for mail to that address treats it; without rules."""
        domain = named.domain
        if isinstance(self._services.directory.resolve(named), NotOurs):
            sender = self._transaction.sender.address
            domain = "" if sender is None else sender.domain
        return self._policy.memory.books.settings_of(domain)
