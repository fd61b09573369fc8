"""From ``postern.toml`` to each room's own settings."""

from collections.abc import Callable, Iterable
from zoneinfo import ZoneInfo

from postern.config.inbound import Blocklist, Scanner
from postern.config.outbound import Resolver
from postern.config.places import parse_host_port
from postern.config.settings import Config
from postern.delivery.settings import DeliverySettings
from postern.journal.settings import JournalSettings
from postern.mail.address import normalise_domain, parse_address, to_a_labels
from postern.mail.mime.part import Limits
from postern.notices.digest import Language
from postern.notices.settings import NoticeSettings
from postern.policy.allowance import AllowanceSettings
from postern.policy.checks.content import CARRIERS, PROGRAMS, TYPES, ContentSettings
from postern.policy.checks.dmarc import Believed
from postern.policy.checks.zones import About, Zone
from postern.policy.greylist.settings import GreylistSettings, Mode
from postern.policy.rates import RateSettings
from postern.policy.scanners.place import Place
from postern.policy.scanners.settings import Kind as ScannerKind
from postern.policy.scanners.settings import ScannerSettings
from postern.policy.settings import PolicySettings
from postern.queue.digests import DigestSettings
from postern.queue.settings import QueueSettings
from postern.queue.throttles import load_throttles
from postern.reception.settings import Kind, ListenerSettings, ReceptionSettings
from postern.reception.tls import CertificateFiles
from postern.routing.chooser import MailClass
from postern.runtime.resolver.settings import ResolverSettings, Server, Transport
from postern.spool.settings import HoldSettings, SpoolSettings

MIB = 1024 * 1024
DAY_S = 86_400.0


def reception_settings(config: Config, worker: int) -> ReceptionSettings:
    """What ``[limits]`` and ``[submission]`` say, and ``mixed_verdict``."""
    limits = config.limits
    return ReceptionSettings(
        config.hostname,
        worker,
        limits.max_message_bytes,
        limits.max_recipients,
        limits.connections,
        limits.connections_per_address,
        limits.commands_per_session,
        limits.errors_per_session,
        limits.idle_s,
        limits.session_s,
        max_hops=limits.max_hops,
        accept_bare_newlines=config.submission.accept_bare_newlines,
        expire_s=config.queue.expire_s,
        defers_mixed=config.mixed_verdict == "defer",
        relay_accounts=relay_accounts(config),
    )


def allowance_settings(config: Config) -> AllowanceSettings:
    """How much accounts may send, as ``[submission]`` says."""
    submission = config.submission
    return AllowanceSettings(
        submission.recipients_per_day,
        submission.first_recipients_per_day,
        submission.domain_recipients_per_day,
        submission.spike_first_recipients,
    )


def relay_accounts(config: Config) -> frozenset[str]:
    """Accounts of other servers of ours, by their key."""
    return frozenset(map(_place_key, config.submission.relay_accounts))


def listener_settings(config: Config) -> list[ListenerSettings]:
    """``[[listener]]``, in its order."""
    return [
        ListenerSettings(
            Kind(listener.kind),
            str(listener.bind),
            listener.proxy_protocol,
            listener.relay_from,
            listener.bind.path is not None,
            listener.checks,
            listener.greeting_wait_s,
        )
        for listener in config.listeners
    ]


def certificate_files(config: Config) -> tuple[CertificateFiles, ...]:
    """``[[certificate]]``, in its order."""
    return tuple(CertificateFiles(c.cert, c.key) for c in config.certificates)


def spool_settings(config: Config, workers: int) -> SpoolSettings:
    """``[spool]``."""
    spool = config.spool
    return SpoolSettings(
        config.data_dir / "spool",
        config.data_dir / "corrupt",
        config.limits.max_message_bytes,
        spool.body_in_row_bytes,
        reserve_extra_bytes=spool.reserve_bytes,
        ballast_bytes=spool.ballast_bytes,
        hold=hold_settings(config, workers),
    )


def queue_settings(config: Config, workers: int) -> QueueSettings:
    """``[queue]``, and the slots of ``[delivery]``."""
    queue = config.queue
    return QueueSettings(
        queue.first_retry_s,
        queue.max_retry_s,
        expire_s=queue.expire_s,
        slots=config.delivery.slots,
        slow_slots=config.delivery.slow_slots,
        group_share=config.delivery.group_share,
        workers=workers,
        egresses=_egresses_of_classes(config),
        drain_per_min=queue.drain_per_min,
        throttles=load_throttles(queue.throttles),
    )


def _egresses_of_classes(config: Config) -> dict[MailClass, str]:
    delivery = config.delivery
    named = {
        MailClass.FORWARDED: delivery.forwarded_egress,
        MailClass.BOUNCE: delivery.bounce_egress,
    }
    return {kind: name for kind, name in named.items() if name}


def journal_settings(config: Config, workers: int) -> JournalSettings:
    """``[journal]``."""
    journal = config.journal
    return JournalSettings(
        journal.keep_days,
        journal.transcript_days,
        journal.disk_budget_mb * MIB,
        workers=workers,
    )


def notice_settings(config: Config) -> NoticeSettings:
    """``[notices]``, and when ``[queue]`` tells of a delay."""
    return NoticeSettings(
        config.hostname,
        timezone=ZoneInfo(config.notices.timezone),
        full_original_bytes=config.notices.full_original_bytes,
        delay_after_s=config.queue.delay_notice_s,
        delay_blocked_after_s=config.queue.blocked_delay_notice_s,
    )


def hold_settings(config: Config, workers: int) -> HoldSettings:
    """How long and how much is held, as ``[quarantine]`` says."""
    quarantine = config.quarantine
    return HoldSettings(
        quarantine.keep_days * DAY_S,
        quarantine.told_days * DAY_S,
        quarantine.max_messages,
        quarantine.max_mb * MIB,
        workers,
    )


def digest_settings(config: Config) -> DigestSettings:
    """When letters about held mail are written, and to whom, as ``[quarantine]`` says."""
    quarantine = config.quarantine
    return DigestSettings(
        quarantine.digest_hour,
        Language(quarantine.language),
        told_check(config),
        config.queue.expire_s,
        quarantine.digest,
    )


def told_check(config: Config) -> Callable[[str], bool]:
    """Whether the owner of a mailbox, by its key, is told of held mail."""
    quarantine = config.quarantine
    if not quarantine.digest:
        return lambda _: False
    left_out = frozenset(map(_place_key, quarantine.no_digest_for))
    return lambda owner: left_out.isdisjoint((owner, owner.rpartition("@")[2]))


def _place_key(text: str) -> str:
    """The one spelling of a domain or a mailbox."""
    address = parse_address(text)
    return (normalise_domain(text) or text) if address is None else address.key


def delivery_settings(config: Config) -> DeliverySettings:
    """``[delivery]``."""
    delivery = config.delivery
    return DeliverySettings(
        helo=config.hostname,
        connect_timeout_s=delivery.connect_timeout_s,
        session_budget_s=delivery.session_budget_s,
        hedge_s=delivery.hedge_s,
        relay_after_s=delivery.relay_after_s,
        slow_after_s=delivery.slow_after_s,
        final_dot_timeout_s=delivery.final_dot_timeout_s,
        reuse_idle_s=delivery.reuse_idle_s,
        ca_file=delivery.ca_file,
    )


def resolver_settings(config: Config) -> list[ResolverSettings]:
    """``[[resolver]]``, in its order; none: the system's."""
    return [_resolver(resolver) for resolver in config.resolvers]


def _resolver(resolver: Resolver) -> ResolverSettings:
    servers = tuple(Server(bind.host, bind.port) for bind in resolver.servers)
    name, how, half_s = resolver.name, Transport(resolver.transport), resolver.timeout_s / 2
    return ResolverSettings(name, servers, how, (half_s, half_s), trusted=resolver.trusted)


def policy_settings(config: Config, worker: int, workers: int) -> PolicySettings:
    """The tables about mail from outside, and this worker's part of what they bound."""
    checks = config.checks
    return PolicySettings(
        tuple(_zone(blocklist) for blocklist in config.blocklists),
        checks.dnsbl_threshold,
        Believed(_domains(checks.trusted_arc_sealers), _domains(checks.known_forwarders)),
        checks.help_url,
        checks.dns_patience_s,
        _content(config),
        _limits(config),
        _rates(config),
        _greylist(config),
        scanners_of(config, worker, workers),
    )


def _zone(blocklist: Blocklist) -> Zone:
    return Zone(
        blocklist.zone.lower().removesuffix("."),
        About(blocklist.about),
        blocklist.weight,
        blocklist.meanings,
        blocklist.allow,
        blocklist.weights,
    )


def _domains(names: Iterable[str]) -> frozenset[str]:
    """Domains in their one spelling."""
    return frozenset(to_a_labels(name) or name.lower() for name in names)


def _rates(config: Config) -> RateSettings:
    """``[rate]``."""
    rate = config.rate
    return RateSettings(
        rate.period_s,
        rate.messages_per_address,
        rate.messages_per_network,
        rate.messages_per_sender,
        rate.messages_per_recipient,
        rate.recipients_per_address,
        rate.recipients_per_sender,
    )


def _greylist(config: Config) -> GreylistSettings:
    """``[greylist]``."""
    greylist = config.greylist
    return GreylistSettings(
        Mode(greylist.mode),
        greylist.wait_s,
        greylist.retry_window_s,
        greylist.life_s,
        greylist.passes_enough,
        greylist.entries,
    )


def _content(config: Config) -> ContentSettings:
    """What ``[content]`` does not take."""
    content = config.content
    return ContentSettings(
        _changed(PROGRAMS | CARRIERS, content.forbid_extensions, content.allow_extensions),
        _changed(TYPES, content.forbid_types, content.allow_types),
        content.programs,
        content.double_extensions,
        content.encrypted_archives == "fail",
    )


def _changed(ours: frozenset[str], more: Iterable[str], fewer: Iterable[str]) -> frozenset[str]:
    """``ours`` with some and without others; people write ``.EXE`` for ``exe``."""
    added, removed = ({one.lower().removeprefix(".") for one in names} for names in (more, fewer))
    return (ours | added) - removed


def _limits(config: Config) -> Limits:
    """How far ``[content]`` has messages looked into."""
    content = config.content
    return Limits(
        content.depth,
        content.parts,
        archive_depth=content.archive_depth,
        archive_bytes=content.archive_bytes,
        inflated_bytes=content.inflated_bytes,
    )


def scanners_of(config: Config, worker: int, workers: int) -> tuple[ScannerSettings, ...]:
    """``[scanner.NAME]``, in its order, and this worker's part of each."""
    return tuple(
        _scanner(config, name, scanner, worker, workers)
        for name, scanner in config.scanners.items()
    )


def _scanner(
    config: Config, name: str, scanner: Scanner, worker: int, workers: int
) -> ScannerSettings:
    kind = scanner_kind(name, scanner)
    is_command = kind is ScannerKind.COMMAND
    return ScannerSettings(
        name,
        kind,
        None if is_command else scanner_place(config, scanner.socket),
        scanner.command,
        scanner.timeout_s or _SCAN_S[kind],
        _SCAN_BYTES.get(kind, 0) if scanner.max_bytes is None else scanner.max_bytes,
        max(1, scanner.slots // workers),
        max(1, scanner.queue // workers),
        scanner.failures,
        scanner.retry_s,
        scanner.score,
        frozenset(scanner.clean),
        frozenset(scanner.found),
        config.run_dir / f"scan-{worker}",
    )


_SCAN_S = {
    ScannerKind.CLAMD: 60.0,
    ScannerKind.COMMAND: 60.0,
    ScannerKind.RSPAMD: 10.0,
    ScannerKind.SPAMD: 10.0,
}
"""A score is one hint of many, and nobody waits long for it."""
_SCAN_BYTES = {ScannerKind.CLAMD: 25 * MIB, ScannerKind.SPAMD: 512 * 1024}
"""clamd: ``MaxFileSize`` and ``StreamMaxLength`` of clamd.conf as Debian installs it. What is
larger than the first it calls clean without a look, unless ``AlertExceedsMax`` is set.

spamd: SpamAssassin's own client sends it no more; a large message keeps it busy for minutes."""


def scanner_kind(name: str, scanner: Scanner) -> ScannerKind:
    """What is at the other end; a configuration that was checked says so by word or by name."""
    return ScannerKind(name if scanner.kind == "auto" else scanner.kind)


def scanner_place(config: Config, text: str) -> Place:
    """Where a scanner listens: a path from the configuration's folder on, or a host and port."""
    bare = text.removeprefix("unix:").removeprefix("http://").removesuffix("/")
    if "/" in bare:
        return Place(str(config.source.parent / bare))
    host, port = parse_host_port(bare)
    return Place("", host, port)
