"""The settings of ``postern.toml`` as frozen values; each carries its own documentation.

``docs/settings.md`` is made from the descriptions here, so a setting cannot go undocumented. Units
are in the names. Each table of the file is one struct; ``Config`` is the whole file.
"""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from postern.config.content import Content
from postern.config.inbound import Blocklist, Checks, Greylist, Quarantine, Rate, Scanner
from postern.config.keeping import Console, Journal, Log, Notices, Spool
from postern.config.outbound import Egress, Paths, Resolver
from postern.config.places import Bind
from postern.config.tls import TlsExemptions
from postern.config.values import MIB, Count, Fraction, Network, Port, Seconds, Text


class Listener(Struct, frozen=True, forbid_unknown_fields=True):
    """One address that mail comes in on."""

    kind: Annotated[
        Literal["mx", "submission", "submissions"],
        Meta(
            description="`mx` takes mail for our domains from anyone, `submission` from our users"
            " after STARTTLS, `submissions` from our users under TLS from the first byte"
        ),
    ]
    bind: Annotated[
        Bind,
        Meta(
            description="`ADDRESS:PORT`, `[IPv6]:PORT`, or `unix:PATH` below `data_dir` for"
            " `postern sendmail`; port 0 takes a free one. `[::]` is IPv6 alone"
        ),
    ]
    proxy_protocol: Annotated[
        tuple[Network, ...],
        Meta(
            description="from these networks a PROXY v1 or v2 header is required;"
            " none within 3 s: 421"
        ),
    ] = ()
    relay_from: Annotated[
        tuple[Network, ...],
        Meta(
            description="clients in these networks are served like authenticated submission"
            " and may send to anyone"
        ),
    ] = ()
    checks: Annotated[
        bool,
        Meta(
            description="on `mx`: look at who comes from outside (reverse DNS, block lists, SPF)"
            " and do what `postern rule explain` says; clients on this machine are not looked at"
        ),
    ] = True
    greeting_wait_s: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="how long a client that is looked at waits for the greeting, once a day;"
            " one that talks before it fails `standards.early-talk`; 0: that is not looked at",
        ),
    ] = 1.0


class Certificate(Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate for TLS; the client's SNI picks one, wildcards count, the first is default."""

    cert: Annotated[
        Path, Meta(description="PEM file of the certificate followed by its intermediates")
    ]
    key: Annotated[
        Path, Meta(description="PEM file of the private key; `user` must be able to read it")
    ]


class Delivery(Struct, frozen=True, forbid_unknown_fields=True):
    """How mail leaves."""

    egress: Annotated[
        str, Meta(description="name of the `[[egress]]` that takes all mail; empty: the first")
    ] = ""
    forwarded_egress: Annotated[
        str,
        Meta(
            description="name of the `[[egress]]` that takes what aliases send on to addresses"
            " outside; empty: the usual one. What others complain of then has an address of its own"
        ),
    ] = ""
    bounce_egress: Annotated[
        str,
        Meta(
            description="the same for notices and other mail with the null sender; empty: the"
            " usual one"
        ),
    ] = ""
    lmtp: Annotated[
        str,
        Meta(
            description="`unix:PATH` or `HOST:PORT` of an LMTP server that stores our mailboxes;"
            " empty: Maildir below `data_dir`"
        ),
    ] = ""
    quota_status: Annotated[
        str,
        Meta(
            description="`unix:PATH` or `HOST:PORT` of Dovecot's `quota-status` service, asked at"
            " RCPT whether a mailbox behind `lmtp` has room; empty: it is not asked"
        ),
    ] = ""
    providers: Annotated[
        Path | None,
        Meta(description="TOML file of hosted mail providers, on top of ours (`docs/paths.md`)"),
    ] = None
    port: Annotated[Port, Meta(description="port of MX hosts; others than 25 for laboratories")] = (
        25
    )
    mta_sts_port: Annotated[
        Port,
        Meta(
            description="port of the servers that other domains' MTA-STS policies are fetched from;"
            " others than 443 for laboratories, where those may also have private addresses"
        ),
    ] = 443
    ca_file: Annotated[
        Path | None,
        Meta(
            description="PEM file of the authorities to trust where a mail host's or a policy"
            " server's certificate must be verified; not set: those of this machine"
        ),
    ] = None
    connect_timeout_s: Annotated[Seconds, Meta(description="for one address to answer")] = 20.0
    session_budget_s: Annotated[
        Seconds, Meta(description="for a whole attempt until DATA is answered 354")
    ] = 300.0
    hedge_s: Annotated[
        Seconds,
        Meta(description="for an address to greet, before the next one is tried beside it"),
    ] = 3.0
    relay_after_s: Annotated[
        Seconds,
        Meta(description="for any address to greet, before a relay is tried that may step in"),
    ] = 6.0
    slow_after_s: Annotated[
        Seconds, Meta(description="an attempt older than this is a slow one")
    ] = 15.0
    final_dot_timeout_s: Annotated[
        Seconds, Meta(description="for the reply after the message (RFC 5321 §4.5.3.2.6)")
    ] = 600.0
    slots: Annotated[Count, Meta(description="sessions out at a time, slow ones apart")] = 200
    slow_slots: Annotated[
        int,
        Meta(
            ge=0,
            description="sessions at a time that take longer than 15 s, or are of groups that did"
            " before; 0: as many as `slots`",
        ),
    ] = 0
    group_share: Annotated[
        Fraction, Meta(description="most of the slots that one MX group may hold")
    ] = 0.25
    reuse_idle_s: Annotated[
        float, Meta(ge=0, description="how long an idle connection is kept for more mail; 0: not")
    ] = 2.0


class Queue(Struct, frozen=True, forbid_unknown_fields=True):
    """When to try again, and when to give up."""

    first_retry_s: Annotated[Seconds, Meta(description="wait after the first failure")] = 300.0
    max_retry_s: Annotated[Seconds, Meta(description="longest wait between two tries")] = 14400.0
    expire_s: Annotated[Seconds, Meta(description="after this the message is returned")] = 432000.0
    delay_notice_s: Annotated[
        Seconds, Meta(description="our own users are told of a delay after this")
    ] = 14400.0
    blocked_delay_notice_s: Annotated[
        Seconds, Meta(description="the same when nothing reaches the whole MX group")
    ] = 3600.0
    drain_per_min: Annotated[
        Seconds, Meta(description="messages that go a minute at first when a group answers again")
    ] = 60.0
    throttles: Annotated[
        Path | None, Meta(description="file of replies that suspend a group; see docs/queue.md")
    ] = None


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one client, and all together, may take."""

    max_message_bytes: Annotated[
        int, Meta(ge=65536, description="largest message taken; told in EHLO as SIZE")
    ] = 50 * MIB
    max_recipients: Annotated[
        int, Meta(ge=100, description="recipients of one message (RFC 5321 §4.5.3.1.8)")
    ] = 1000
    connections: Annotated[Count, Meta(description="connections in at a time, in all")] = 10000
    connections_per_address: Annotated[
        Count, Meta(description="the same from one address (one /64 of IPv6)")
    ] = 50
    commands_per_session: Annotated[
        Count, Meta(description="commands of one connection before it is closed with 421")
    ] = 100000
    errors_per_session: Annotated[
        Count, Meta(description="refused commands of one connection before it is closed with 421")
    ] = 20
    idle_s: Annotated[
        Seconds, Meta(description="a silent client is closed (RFC 5321 §4.5.3.2.7)")
    ] = 300.0
    session_s: Annotated[Seconds, Meta(description="longest connection in all")] = 7200.0
    max_hops: Annotated[
        int, Meta(ge=10, description="Received fields before it is a loop (RFC 5321 §6.3)")
    ] = 100


class Submission(Struct, frozen=True, forbid_unknown_fields=True):
    """What our own users' programs are allowed."""

    accept_bare_newlines: Annotated[
        bool,
        Meta(
            description="take a bare LF or CR as the end of a line and mend it;"
            " the end of a message is never loosened"
        ),
    ] = False
    relay_accounts: Annotated[
        tuple[str, ...],
        Meta(
            description="accounts of other servers of yours that relay through this one: they may"
            " send as anybody, and as much as comes (`docs/relay.md`)"
        ),
    ] = ()
    recipients_per_day: Annotated[
        int,
        Meta(
            ge=0,
            description="recipients outside that one account may write to a day; what is over it"
            " is taken and waits its turn; a restart counts anew; 0: any number",
        ),
    ] = 2000
    first_recipients_per_day: Annotated[
        int,
        Meta(
            ge=0,
            description="the same of those it never wrote to before, which is what junk goes to;"
            " 0: any number",
        ),
    ] = 500
    domain_recipients_per_day: Annotated[
        int, Meta(ge=0, description="the same for all accounts of a domain together; 0: any number")
    ] = 0
    spike_first_recipients: Annotated[
        int,
        Meta(
            ge=0,
            description="an account that writes to more for the first time within ten minutes is"
            " frozen: what waits is held, nothing more is taken, its owner and the postmaster are"
            " told; 0: never",
        ),
    ] = 200


class Config(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "listeners": "listener",
        "certificates": "certificate",
        "resolvers": "resolver",
        "egresses": "egress",
        "blocklists": "blocklist",
        "scanners": "scanner",
    },
):
    """The whole of ``postern.toml``; every path is absolute, every default filled in."""

    hostname: Annotated[
        Text, Meta(description="our name in greetings, EHLO and Received; empty: the machine's")
    ] = ""
    data_dir: Annotated[
        Path, Meta(description="everything that lasts: spool, journal, directory, Maildirs")
    ] = Path("data")
    user: Annotated[
        str, Meta(description="to become after binding; empty: stay, and `doctor` warns")
    ] = ""
    stop_grace_s: Annotated[
        Seconds, Meta(description="how long a stop waits for what is running")
    ] = 10.0
    database: Annotated[
        str, Meta(description="`sqlite`: files below `data_dir`; nothing else yet")
    ] = "sqlite"
    workers: Annotated[int, Meta(ge=0, le=256, description="worker processes; 0: one per core")] = 0
    node: Annotated[
        int, Meta(ge=0, le=15, description="number of this server, if you have several")
    ] = 0
    mixed_verdict: Annotated[
        Literal["hold", "defer"],
        Meta(
            description="where one recipient takes a message and another refuses what is in it,"
            " and the client takes one answer for all: `hold` it for who refuses, or `defer`:"
            " recipients whose rules are not those of the first are told to come later (452)"
        ),
    ] = "hold"
    listeners: tuple[Listener, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    resolvers: tuple[Resolver, ...] = ()
    egresses: tuple[Egress, ...] = ()
    delivery: Delivery = Delivery()
    paths: Paths = Paths()
    tls_exemptions: TlsExemptions = TlsExemptions()
    queue: Queue = Queue()
    limits: Limits = Limits()
    spool: Spool = Spool()
    journal: Journal = Journal()
    submission: Submission = Submission()
    notices: Notices = Notices()
    quarantine: Quarantine = Quarantine()
    checks: Checks = Checks()
    blocklists: tuple[Blocklist, ...] = ()
    rate: Rate = Rate()
    greylist: Greylist = Greylist()
    content: Content = Content()
    scanners: Annotated[dict[str, Scanner], Meta(description="scanners by name")] = {}
    console: Console = Console()
    log: Log = Log()
    source: Path = Path()
    """The file this was read from; not a setting."""

    @property
    def run_dir(self) -> Path:
        """Where running processes leave sockets and status files."""
        return self.data_dir / "run"

    @property
    def maildir_root(self) -> Path:
        """Where our own mailboxes are (``<data_dir>/mail/<domain>/<localpart>/Maildir/``)."""
        return self.data_dir / "mail"
