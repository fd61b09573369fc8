"""What a setting means beside the others: mistakes that no single value shows."""

import pwd
import re
import stat
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from postern.config.doubts import Doubt, host_port_doubts, warning
from postern.config.lines import Key
from postern.config.outbound import Egress
from postern.config.places import MAX_SOCKET_PATH_BYTES, Bind
from postern.config.provider_checks import provider_doubts
from postern.config.scanner_checks import scanner_doubts
from postern.config.settings import Config, Listener
from postern.mail.address import normalise_domain, parse_address, to_a_labels
from postern.queue.throttles import BadTableError, read_table

_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")

_CODE = re.compile(r"127(\.\d{1,3}){3}")
_PAGE = re.compile(r"https?://[!-~]{1,200}")


def doubts(config: Config) -> list[Doubt]:
    """Everything that does not fit, errors and warnings, in the order of the file's tables."""
    every: list[Callable[[Config], Iterator[Doubt]]] = [
        _top, _listeners, _certificates, _resolvers, _egresses, _delivery, _paths, _queue, _notices,
        _blocklists, _checks, _submission, _greylist, _content, _quarantine, _console,
        _tls_exemptions, scanner_doubts, provider_doubts,
    ]  # fmt: skip
    return [doubt for check in every for doubt in check(config)]


def _top(config: Config) -> Iterator[Doubt]:
    if not _HOSTNAME.fullmatch(config.hostname):
        yield Doubt(("hostname",), "expected a host name of letters, digits, hyphens and dots")
    elif "." not in config.hostname:
        yield warning(
            ("hostname",),
            f"{config.hostname!r} is not a full name, and many servers refuse such a HELO",
            'hostname = "mx.your-domain.example", the name your address resolves to',
        )
    if config.database != "sqlite":
        yield Doubt(("database",), "this version keeps its data in SQLite", 'database = "sqlite"')
    if config.user:
        try:
            pwd.getpwnam(config.user)
        except KeyError:
            yield Doubt(
                ("user",),
                f"there is no user {config.user!r} on this machine",
                f"useradd --system --no-create-home {config.user}",
            )


def _listeners(config: Config) -> Iterator[Doubt]:
    if not config.listeners:
        yield warning((), "there is no [[listener]], so no mail can come in")
    taken: dict[str, int] = {}
    for number, listener in enumerate(config.listeners):
        key: Key = ("listener", number)
        text = str(listener.bind)
        if text in taken and not text.endswith(":0"):
            yield Doubt((*key, "bind"), f"{text} is taken by listener[{taken[text] + 1}] already")
        taken.setdefault(text, number)
        if listener.bind.path is not None:
            yield from _socket_path(config, listener.bind.path, (*key, "bind"))
        else:
            yield from _needs_certificate(config, listener, key)


def _needs_certificate(config: Config, listener: Listener, key: Key) -> Iterator[Doubt]:
    if config.certificates or listener.kind == "mx":
        return
    if listener.kind == "submissions":
        yield Doubt(
            (*key, "kind"),
            "TLS from the first byte needs a certificate",
            "add [[certificate]] with cert and key",
        )
    else:
        yield warning(
            (*key, "kind"),
            "nobody can log in here: logins need STARTTLS, and there is no certificate",
            "add [[certificate]] with cert and key",
        )


def _socket_path(config: Config, path: Path, key: Key) -> Iterator[Doubt]:
    if not path.resolve().is_relative_to(config.data_dir.resolve()):
        yield Doubt(key, "a unix socket must be inside data_dir", 'bind = "unix:run/submit.sock"')
    if len(bytes(path)) > MAX_SOCKET_PATH_BYTES:
        yield Doubt(
            key,
            f"{path} is longer than the {MAX_SOCKET_PATH_BYTES} bytes of a socket's path",
            "choose a shorter data_dir",
        )


def _certificates(config: Config) -> Iterator[Doubt]:
    for number, certificate in enumerate(config.certificates):
        for name, path in (("cert", certificate.cert), ("key", certificate.key)):
            if _is_missing(path):
                yield Doubt(("certificate", number, name), f"there is no file {path}")
        if _others_may_read(certificate.key):
            yield warning(
                ("certificate", number, "key"),
                f"everybody on this machine can read the private key {certificate.key}",
                f"chmod o-rwx {certificate.key}",
            )


def _resolvers(config: Config) -> Iterator[Doubt]:
    names: set[str] = set()
    for number, resolver in enumerate(config.resolvers):
        key: Key = ("resolver", number)
        if resolver.name in names:
            yield Doubt((*key, "name"), f"there is a resolver {resolver.name!r} already")
        names.add(resolver.name)
        if not resolver.servers:
            yield Doubt((*key, "servers"), "at least one server is needed")
        for index, server in enumerate(resolver.servers):
            if server.path is not None or server.port == 0:
                yield Doubt((*key, "servers", index), "expected 'ADDRESS:PORT' of a DNS server")
        if resolver.trusted and number:
            yield warning(
                (*key, "trusted"), "DANE rests on the first resolver alone, so this changes nothing"
            )


def _egresses(config: Config) -> Iterator[Doubt]:
    names: set[str] = set()
    for number, egress in enumerate(config.egresses):
        key: Key = ("egress", number)
        if egress.name in names:
            yield Doubt((*key, "name"), f"there is an egress {egress.name!r} already")
        names.add(egress.name)
        yield from _egress_places(egress, key)
        yield from _egress_login(egress, key)


def _egress_places(egress: Egress, key: Key) -> Iterator[Doubt]:
    if egress.relay:
        yield from host_port_doubts((*key, "relay"), egress.relay)
    if egress.helo and not _HOSTNAME.fullmatch(egress.helo):
        yield Doubt((*key, "helo"), "expected a host name")
    if egress.source and not _is_address(egress.source):
        yield Doubt((*key, "source"), "expected an IP address of this machine")
    for index, address in enumerate(egress.address):
        if not _is_address(address):
            yield Doubt((*key, "address", index), "expected an IP address")
    for name in ("address", "enforces_tls"):
        if getattr(egress, name) and not egress.relay:
            yield Doubt((*key, name), "this only makes sense with a relay")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _egress_login(egress: Egress, key: Key) -> Iterator[Doubt]:
    path = egress.password_file
    if egress.username and egress.demanded_tls != "verify":
        yield warning(
            (*key, "tls"),
            f"the password of {egress.username!r} goes to whoever answers for the relay:"
            " its certificate is not looked at",
            'tls = "verify"',
        )
    if egress.username and not egress.relay:
        yield Doubt((*key, "username"), "a login only makes sense with a relay")
    if bool(egress.username) != (path is not None):
        yield Doubt(key, "username and password_file go together")
    if path is None:
        return
    if _is_missing(path):
        yield Doubt((*key, "password_file"), f"there is no file {path}")
    elif _others_may_read(path):
        yield warning(
            (*key, "password_file"),
            f"everybody on this machine can read {path}",
            f"chmod o-rwx {path}",
        )


def _delivery(config: Config) -> Iterator[Doubt]:
    delivery = config.delivery
    named = {
        "egress": delivery.egress,
        "forwarded_egress": delivery.forwarded_egress,
        "bounce_egress": delivery.bounce_egress,
    }
    known = {egress.name for egress in config.egresses} | {"direct", ""}
    for setting, name in named.items():
        if name not in known:
            yield Doubt(("delivery", setting), f"there is no [[egress]] named {name!r}")
    ca_file = delivery.ca_file
    if ca_file is not None and _is_missing(ca_file):
        yield Doubt(("delivery", "ca_file"), f"there is no file {ca_file}")
    lmtp = config.delivery.lmtp
    if lmtp and not lmtp.startswith("unix:/"):
        yield from host_port_doubts(("delivery", "lmtp"), lmtp)
    status = config.delivery.quota_status
    if status and not status.startswith("unix:/"):
        yield from host_port_doubts(("delivery", "quota_status"), status)
    if status and not lmtp:
        yield warning(
            ("delivery", "quota_status"),
            "nobody is asked: our own Maildirs are measured here, without lmtp",
        )


def _queue(config: Config) -> Iterator[Doubt]:
    queue = config.queue
    if queue.max_retry_s < queue.first_retry_s:
        yield Doubt(("queue", "max_retry_s"), "expected no less than first_retry_s")
    if queue.expire_s <= queue.first_retry_s:
        yield Doubt(("queue", "expire_s"), "expected more than first_retry_s")
    if queue.throttles is not None:
        try:
            read_table(queue.throttles)
        except (OSError, BadTableError) as error:
            yield Doubt(("queue", "throttles"), str(error))


def _tls_exemptions(config: Config) -> Iterator[Doubt]:
    exemptions = config.tls_exemptions
    if exemptions.lasts_s <= exemptions.retest_s:
        yield Doubt(
            ("tls_exemptions", "lasts_s"), "expected more than retest_s: none would be tested"
        )


def _paths(config: Config) -> Iterator[Doubt]:
    if config.paths.retest_s < config.paths.first_retest_s:
        yield Doubt(("paths", "retest_s"), "expected no less than first_retest_s")


def _submission(config: Config) -> Iterator[Doubt]:
    for number, name in enumerate(config.submission.relay_accounts):
        if parse_address(name) is None:
            yield Doubt(("submission", "relay_accounts", number), "expected a mailbox's address")


def _greylist(config: Config) -> Iterator[Doubt]:
    greylist = config.greylist
    if greylist.retry_window_s <= greylist.wait_s:
        yield Doubt(
            ("greylist", "retry_window_s"), "expected more than wait_s: nobody could pass", "172800"
        )


def _content(config: Config) -> Iterator[Doubt]:
    content = config.content
    pairs = (
        ("allow_extensions", content.allow_extensions, content.forbid_extensions),
        ("allow_types", content.allow_types, content.forbid_types),
    )
    for name, allowed, forbidden in pairs:
        both = {one.lower() for one in allowed} & {one.lower() for one in forbidden}
        for one in sorted(both):
            yield Doubt(("content", name), f"{one!r} is both allowed and forbidden")


def _notices(config: Config) -> Iterator[Doubt]:
    try:
        ZoneInfo(config.notices.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield Doubt(
            ("notices", "timezone"),
            f"this machine knows no time zone {config.notices.timezone!r}",
            'timezone = "Asia/Shanghai", say; Debian has them in tzdata',
        )


def _quarantine(config: Config) -> Iterator[Doubt]:
    quarantine = config.quarantine
    if quarantine.told_days > quarantine.keep_days:
        yield Doubt(("quarantine", "told_days"), "expected no more than keep_days")
    for number, name in enumerate(quarantine.no_digest_for):
        known = parse_address(name) if "@" in name else normalise_domain(name)
        if known is None:
            key: Key = ("quarantine", "no_digest_for", number)
            yield Doubt(key, "expected a domain or a mailbox's address")


def _blocklists(config: Config) -> Iterator[Doubt]:
    for number, blocklist in enumerate(config.blocklists):
        key: Key = ("blocklist", number)
        if to_a_labels(blocklist.zone.removesuffix(".")) is None:
            yield Doubt((*key, "zone"), "expected a zone, such as bl.example")
        for name, codes in (("meanings", blocklist.meanings), ("weights", blocklist.weights)):
            for code in codes:
                if not _CODE.fullmatch(code):
                    yield Doubt((*key, name, code), "expected an answer such as 127.0.0.2")


def _checks(config: Config) -> Iterator[Doubt]:
    for name in ("trusted_arc_sealers", "known_forwarders"):
        for number, domain in enumerate(getattr(config.checks, name)):
            if to_a_labels(domain) is None:
                yield Doubt(("checks", name, number), "expected a domain, such as lists.example")
    if config.checks.help_url and not _PAGE.fullmatch(config.checks.help_url):
        yield Doubt(
            ("checks", "help_url"),
            "expected the address of a page, which a refusal has room for",
            'help_url = "https://mx.host.example/e/"',
        )


def _console(config: Config) -> Iterator[Doubt]:
    bind: Bind = config.console.bind
    if bind.path is not None:
        yield Doubt(("console", "bind"), "expected 'ADDRESS:PORT'", 'bind = "127.0.0.1:8025"')


def _is_missing(path: Path) -> bool:
    """True when the file is surely not there; False when we may not look."""
    try:
        return not path.is_file()
    except OSError:
        return False


def _others_may_read(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
