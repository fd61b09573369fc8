"""Settings of what mail from outside meets, and of what is held of it; see ``settings``."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from postern.config.values import Count, Seconds, Text


class Rate(Struct, frozen=True, forbid_unknown_fields=True):
    """How much mail from outside is taken; what is more is refused for now (`rate.exceeded`).

    All are off: a provider's one server may send more in an hour than others do in a year, and a
    limit that is wrong holds up honest mail. Counted over all workers, anew after a start.
    """

    period_s: Annotated[
        float, Meta(ge=1, le=604800, description="what the numbers below are for; 3600: an hour")
    ] = 3600.0
    messages_per_address: Annotated[
        int, Meta(ge=0, description="messages of one client address (one /64 of IPv6); 0: any")
    ] = 0
    messages_per_network: Annotated[
        int, Meta(ge=0, description="messages of one /24, or one /48 of IPv6; 0: any")
    ] = 0
    messages_per_sender: Annotated[
        int,
        Meta(ge=0, description="messages of one sender: its domain if SPF proves it; 0: any"),
    ] = 0
    messages_per_recipient: Annotated[
        int, Meta(ge=0, description="messages to one address of ours; 0: any")
    ] = 0
    recipients_per_address: Annotated[
        int, Meta(ge=0, description="recipients named by one client address; 0: any")
    ] = 0
    recipients_per_sender: Annotated[
        int, Meta(ge=0, description="recipients named by one sender; 0: any")
    ] = 0


class Greylist(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is new and suspicious is asked to come again (`greylist.wait`).

    A domain leaves it out with `postern rule system greylist.wait off --domain D`.
    """

    mode: Annotated[
        Literal["off", "suspicious", "always"],
        Meta(description="`suspicious`: only who something speaks against, see `docs/checks.md`"),
    ] = "suspicious"
    wait_s: Annotated[
        float, Meta(gt=0, le=86400, description="after its first try mail is not taken so long")
    ] = 300.0
    retry_window_s: Annotated[
        float, Meta(gt=0, description="after its first try it must have come again within this")
    ] = 172800.0
    life_s: Annotated[
        float,
        Meta(ge=86400, description="how long what came again stays known since it was last seen"),
    ] = 3024000.0
    passes_enough: Annotated[
        int,
        Meta(ge=0, description="servers whose mail came again so often wait no more; 0: never"),
    ] = 5
    entries: Annotated[
        int, Meta(ge=1000, description="most that are kept; what never came again goes first")
    ] = 1000000


class Quarantine(Struct, frozen=True, forbid_unknown_fields=True):
    """Mail that rules and checks hold for its owner, and the letter that tells him."""

    keep_days: Annotated[
        Count,
        Meta(description="how long it is held; then it is thrown away, and nobody written to"),
    ] = 30
    told_days: Annotated[
        Count,
        Meta(description="what its owner has at least after the letter that names it has arrived"),
    ] = 7
    max_messages: Annotated[
        Count,
        Meta(
            description="held for one mailbox, in all; near it the oldest that its owner has long"
            " known leaves, beyond it mail that would be held is `452`. Each worker takes its part,"
            " but no less than 50 messages and 64 MB"
        ),
    ] = 1000
    max_mb: Annotated[Count, Meta(description="the same in megabytes")] = 512
    digest: Annotated[
        bool, Meta(description="tell owners once a day what is newly held for them")
    ] = True
    digest_hour: Annotated[
        int, Meta(ge=0, le=23, description="from which hour on, in the time zone of `[notices]`")
    ] = 8
    language: Annotated[
        Literal["both", "en", "zh"], Meta(description="what that letter is written in")
    ] = "both"
    no_digest_for: Annotated[
        tuple[Text, ...],
        Meta(
            description="domains and mailboxes whose owners get no such letter;"
            " what is held for them leaves untold"
        ),
    ] = ()


class Blocklist(Struct, frozen=True, forbid_unknown_fields=True):
    """A DNS block list, or a white list."""

    zone: Annotated[Text, Meta(description="the zone to ask, `bl.example`")]
    about: Annotated[
        Literal["addresses", "names"],
        Meta(
            description="what it lists: addresses of clients, or names (the sender's domain, the"
            " client's HELO and reverse DNS name)"
        ),
    ] = "addresses"
    weight: Annotated[float, Meta(description="what a listing counts")] = 1.0
    meanings: Annotated[
        dict[str, str], Meta(description='what an answer means: `"127.0.0.2" = "open relay"`')
    ] = {}
    weights: Annotated[
        dict[str, float],
        Meta(description='what a listing counts by its answer: `"127.0.0.10" = 0.3`'),
    ] = {}
    allow: Annotated[bool, Meta(description="a white list: being listed speaks for the client")] = (
        False
    )


class Checks(Struct, frozen=True, forbid_unknown_fields=True):
    """How mail from outside is looked at; what a check's fail leads to is `postern rule system`."""

    dns_patience_s: Annotated[
        Seconds,
        Meta(
            description='how long one sender is told "not now" because DNS does not answer;'
            " after that its mail is taken, and marked"
        ),
    ] = 86400.0
    dnsbl_threshold: Annotated[
        float,
        Meta(
            gt=0,
            description="weights of block lists, less those of white lists, that are a fail;"
            " lists of addresses and lists of names are added up apart",
        ),
    ] = 1.0
    help_url: Annotated[
        str,
        Meta(
            description="where a sender that was refused can read more: `https://HOST/e/`, the"
            " trace code is put behind it; empty: no refusal names a page"
        ),
    ] = ""
    trusted_arc_sealers: Annotated[
        tuple[Text, ...],
        Meta(
            description="domains: mail whose ARC chain holds and was sealed by one of them last is"
            " not refused for DMARC, it goes to Junk"
        ),
    ] = ()
    known_forwarders: Annotated[
        tuple[Text, ...],
        Meta(
            description="domains: the same for mail from servers whose confirmed name, or whose"
            " sender proven by SPF, is one of them or below"
        ),
    ] = ()


class Scanner(Struct, frozen=True, forbid_unknown_fields=True):
    """A virus or spam scanner, or a program of your own, by its name."""

    kind: Annotated[
        Literal["auto", "clamd", "rspamd", "spamd", "command"],
        Meta(description="what it is; `auto`: what its name says"),
    ] = "auto"
    socket: Annotated[
        str,
        Meta(
            description="path of its unix socket (with a slash in it), or `HOST:PORT`;"
            " not for `command`"
        ),
    ] = ""
    command: Annotated[
        tuple[str, ...],
        Meta(
            description="program and arguments, run for each message without a shell; the message"
            " is its standard input, or a file where an argument has `{file}`"
        ),
    ] = ()
    timeout_s: Annotated[
        float,
        Meta(
            ge=0,
            le=540,
            description="longest time for one message, its wait included; 0: 60, for spam 10",
        ),
    ] = 0.0
    max_bytes: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="larger messages are not given to it, and count as not scanned; 0: all are."
            " Not set: all, but 26214400 for `clamd`, 524288 for `spamd`"
        ),
    ] = None
    slots: Annotated[Count, Meta(description="messages it is given at a time, in all")] = 20
    queue: Annotated[Count, Meta(description="messages that may wait for their turn, in all")] = 200
    score: Annotated[
        float | None,
        Meta(description="of spam, from which on `spam.score` fails; not set: as it says itself"),
    ] = None
    clean: Annotated[
        tuple[int, ...], Meta(description="exit codes of `command` that found nothing")
    ] = (0,)
    found: Annotated[
        tuple[int, ...], Meta(description="exit codes of `command` that found something")
    ] = (1,)
    failures: Annotated[
        Count, Meta(description="so many failures in a row, and it is left alone for a while")
    ] = 5
    retry_s: Annotated[
        Seconds, Meta(description="after this it is tried again, then after longer, up to 60 s")
    ] = 10.0
