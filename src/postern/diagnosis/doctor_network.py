"""The doctor asks the network: do resolvers answer, are our ports ours."""

import errno
import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from postern.diagnosis.doctor_results import (
    Door,
    NamedServer,
    Result,
    Site,
    couldnt_tell,
    ok,
    problem,
    warning,
)
from postern.runtime.clock import Clock
from postern.runtime.lock import is_served
from postern.runtime.processes import read_statuses

SLOW_S = 1.0
CONSOLE_SETTING = "console.bind"
CONSOLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a DNS server answered, in DNS's words, after so many seconds.

    ``is_validated``: it says that DNSSEC vouches for its answer.
    """

    rcode: str
    seconds: float
    is_validated: bool = False


def examine_resolvers(site: Site, clock: Clock) -> Iterator[Result]:
    """Every resolver by name; when none answers, we couldn't tell whether it is they or we."""
    servers = site.resolvers or tuple(system_servers())
    if not servers:
        yield problem(
            "resolver.none",
            "no DNS resolver is configured, neither here nor in /etc/resolv.conf",
            "add [[resolver]] with name and servers",
        )
        return
    with ThreadPoolExecutor(max_workers=min(16, len(servers))) as pool:
        replies = list(pool.map(lambda server: ask(server, clock), servers))
    silent = all(isinstance(reply, str) for reply in replies)
    for server, reply in zip(servers, replies, strict=True):
        yield judge_resolver(server, reply, is_any_answering=not silent)
    home = [
        (server, reply)
        for server, reply in zip(servers, replies, strict=True)
        if server.resolver == servers[0].resolver
    ]
    yield from judge_dane(home)


def judge_dane(home: Sequence[tuple[NamedServer, Reply | str]]) -> Iterator[Result]:
    """Whether DANE can protect mail: the first resolver must validate, and be believed."""
    check, name = "resolver.dane", home[0][0].resolver
    answered = [reply for _, reply in home if isinstance(reply, Reply) and reply.rcode == "NOERROR"]
    trusted = home[0][0].trusted
    if trusted is None:
        trusted = all(is_loopback(server.host) for server, _ in home)
    if home[0][0].trusted is False:
        yield ok(check, f"{name} is not to be trusted, so DANE protects no mail, as configured")
    elif not trusted:
        yield warning(
            check,
            f"DANE protects no mail: {name} is not on this machine, so its DNSSEC is not believed",
            "run a validating resolver here (unbound), or set trusted = true if nobody is between",
        )
    elif answered and not all(reply.is_validated for reply in answered):
        yield warning(
            check,
            f"DANE protects no mail: {name} does not validate DNSSEC",
            "have it validate (unbound does with its root key), or set trusted = false",
        )
    elif answered:
        yield ok(check, f"{name} validates DNSSEC, so DANE protects mail to those who have it")


def is_loopback(host: str) -> bool:
    """True for an address that never leaves this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def system_servers(path: Path = Path("/etc/resolv.conf")) -> Iterator[NamedServer]:
    """The resolvers of /etc/resolv.conf, used when none is configured."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "nameserver" and rest.strip():
            yield NamedServer("system", rest.strip(), 53, "udp", 3.0)


def ask(server: NamedServer, clock: Clock) -> Reply | str:
    """Ask for the root's name servers; an answer of any kind, or one sentence why there is none."""
    import dns.exception  # noqa: PLC0415 - 70 ms for this check alone
    import dns.flags  # noqa: PLC0415 - 70 ms for this check alone
    import dns.message  # noqa: PLC0415 - 70 ms for this check alone
    import dns.query  # noqa: PLC0415 - 70 ms for this check alone
    import dns.rcode  # noqa: PLC0415 - 70 ms for this check alone

    query = dns.message.make_query(".", "NS", flags=dns.flags.RD | dns.flags.AD)
    began = clock.monotonic()
    try:
        where, port, timeout_s = server.host, server.port, server.timeout_s
        if server.transport == "tls":
            answer = dns.query.tls(query, where, timeout=timeout_s, port=port)
        elif server.transport == "tcp":
            answer = dns.query.tcp(query, where, timeout=timeout_s, port=port)
        else:
            answer, _ = dns.query.udp_with_fallback(query, where, timeout=timeout_s, port=port)
    except dns.exception.Timeout:
        return f"no answer in {server.timeout_s:g} s"
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    is_validated = bool(answer.flags & dns.flags.AD)
    return Reply(dns.rcode.to_text(answer.rcode()), clock.monotonic() - began, is_validated)


def judge_resolver(server: NamedServer, reply: Reply | str, *, is_any_answering: bool) -> Result:
    """How one server did, beside the others."""
    check = f"resolver.{server.resolver}"
    host = f"[{server.host}]" if ":" in server.host else server.host
    place = f"{server.resolver} ({host}:{server.port})"
    if isinstance(reply, str):
        if is_any_answering:
            return warning(check, f"{place}: {reply}", "start it, or take it out of [[resolver]]")
        return couldnt_tell(
            check, f"{place}: {reply}", "no resolver answers: is there a network?", "between"
        )
    told = f"{place} answered {reply.rcode} in {reply.seconds * 1000:.0f} ms"
    if reply.rcode == "REFUSED":
        return warning(check, f"{told}: it does not serve us", "allow this machine's address there")
    if reply.rcode == "SERVFAIL":
        return couldnt_tell(check, f"{told}: it cannot reach the root", whose="between")
    if reply.seconds > SLOW_S:
        return warning(check, f"{told}: every message waits for that", "use a nearer resolver")
    return ok(check, told)


def examine_ports(site: Site) -> Iterator[Result]:
    """Every listener: bound by the running server, or free for us to take."""
    is_running = is_served(site.data_dir)
    statuses = read_statuses(site.run_dir) if is_running else []
    served = {port.bind for status in statuses for port in status.ports}
    for door in site.doors:
        if door.path is None:
            attempt = try_to_bind(door)
            if is_running and door.setting == CONSOLE_SETTING:
                yield examine_console(door, site.run_dir)
                continue
            is_ours = door.text in served
            yield judge_port(door, attempt, is_running=is_running, is_ours=is_ours)


def examine_console(door: Door, run_dir: Path) -> Result:
    """Ask the console of the running server whether it is well."""
    check = f"port.{door.setting}"
    try:
        address = json.loads((run_dir / "console.json").read_bytes())
        # The file tells the port that was picked where the configuration says 0.
        asking = http.client.HTTPConnection(door.host, int(address["port"]), timeout=CONSOLE_S)
        with closing(asking):
            asking.request("GET", "/healthz")
            status = asking.getresponse().status
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        why = str(error) or type(error).__name__
    else:
        if status == http.HTTPStatus.OK:
            return ok(check, f"the console answers at {door.text}")
        why = f"/healthz is answered {status}"
    return problem(
        check,
        f"the console does not answer at {door.text}: {why}",
        "mail is not affected; the log says why it does not start",
    )


def try_to_bind(door: Door) -> int:
    """0 when the port could be bound just now, else the errno."""
    family = socket.AF_INET6 if ":" in door.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((door.host, door.port))
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def judge_port(door: Door, attempt: int, *, is_running: bool, is_ours: bool) -> Result:
    """What it means that the port could or could not be bound."""
    check = f"port.{door.setting}"
    if attempt == 0:
        if is_running and door.port:
            return problem(
                check,
                f"the server runs, but does not listen at {door.text}",
                "restart it: listeners are only taken up at a start",
            )
        return ok(check, f"{door.text} is {'served' if is_running else 'free'}")
    if attempt == errno.EADDRINUSE:
        if is_running and is_ours:
            return ok(check, f"{door.text} is served")
        return problem(
            check, f"another program listens at {door.text}", "'ss -ltnp' shows which; stop it"
        )
    if attempt in {errno.EACCES, errno.EPERM}:
        return warning(
            check,
            f"we may not bind {door.text}",
            "start as root with user set, or give CAP_NET_BIND_SERVICE",
        )
    return problem(check, f"{door.text}: {errno.errorcode.get(attempt, attempt)}", "correct bind")
