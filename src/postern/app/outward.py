"""The rooms mail leaves through, as one set: a reload makes a new one and lets the old finish."""

import asyncio
import functools
import socket
from collections.abc import Callable
from dataclasses import dataclass

from postern.app import published
from postern.app.settings import (
    delivery_settings,
    notice_settings,
    queue_settings,
    resolver_settings,
)
from postern.app.steering import Steering, WaysOut
from postern.app.tls import TlsKnowledge
from postern.app.ways_out import routing_settings
from postern.config.settings import Config
from postern.delivery.lmtp import LmtpDelivery
from postern.delivery.maildir import MaildirDelivery
from postern.delivery.maildir_quota import MaildirQuota
from postern.delivery.maildir_usage import MaildirUsage
from postern.delivery.probe import WayProbe
from postern.delivery.quota_status import QuotaStatus
from postern.delivery.smtp import SmtpDelivery
from postern.directory.reader import Directory
from postern.directory.return_addresses import ReturnAddresses
from postern.directory.signers import Signers
from postern.mail.paths import Watches
from postern.queue.courier import Courier
from postern.queue.settings import QueueSettings
from postern.queue.suggestions import Suggestions
from postern.queue.tidings import NoticeTidings
from postern.reception.callahead import CallAhead
from postern.reception.codes import Numbers
from postern.reception.recipients import Recipients
from postern.routing.machine import this_machine
from postern.routing.places import DirectoryPlaces
from postern.routing.router import Router
from postern.routing.tls.doubts import StsDoubts
from postern.routing.tls.sts import StsPolicies
from postern.runtime.clock import Clock
from postern.runtime.processes import WorkerSetup
from postern.runtime.resolver.resolver import Resolver
from postern.spool.holdings import Holdings


@dataclass(frozen=True, slots=True)
class Outward:
    """Resolver, routes, deliveries and notices, and the questions that reception asks outside."""

    resolver: Resolver
    smtp: SmtpDelivery
    lmtp: LmtpDelivery
    maildir: MaildirDelivery
    router: Router
    policies: StsPolicies
    ways_out: WaysOut
    courier: Courier
    tidings: NoticeTidings
    recipients: Recipients
    queue_settings: QueueSettings
    quota_status: QuotaStatus | None
    is_this_host: Callable[[str], bool]

    async def close(self, grace_s: float) -> None:
        """Let what is under way end within ``grace_s``, then cut it."""
        await asyncio.gather(
            self.smtp.close(grace_s),
            self.lmtp.close(grace_s),
            self.maildir.close(grace_s),
            self.ways_out.close(),
        )
        if self.quota_status is not None:
            self.quota_status.close()
        await self.policies.aclose()
        await self.resolver.aclose(grace_s)


def outward(
    config: Config,
    ports: dict[int, int],
    workers: int,
    directory: Directory,
    numbers: Numbers,
    clock: Clock,
    suggestions: Suggestions,
    holdings: Holdings,
    signers: Signers,
    returns: ReturnAddresses,
    tls: TlsKnowledge,
    steering: Steering,
) -> Outward:
    """The set that ``config`` describes; ``ports`` are the real ones, by listener index."""
    resolver = Resolver(resolver_settings(config), clock)
    watch = Watches(steering.controller, tls.learner)
    machine = this_machine()
    policies = published.policies(config, resolver, tls.shelf, clock, machine)
    sessions = StsDoubts(tls.tally, policies)
    smtp = SmtpDelivery(delivery_settings(config), clock, watch, sessions)
    lmtp = LmtpDelivery(delivery_settings(config), clock)
    root = config.maildir_root
    quota = MaildirQuota(MaildirUsage(root, clock), clock)
    maildir = MaildirDelivery(root, config.hostname, clock, filled=quota.forget)
    places = DirectoryPlaces(directory)
    routing = routing_settings(config, ports, steering.hop_key)
    router = Router(
        places,
        resolver,
        routing,
        clock,
        machine,
        census=steering.paths.census,
        policies=policies,
        memory=tls.shelf,
        ours=tls.domains,
        pins=steering.table,
        untried=tls.tally,
    )
    probe = WayProbe(delivery_settings(config), clock, steering.controller)
    fits = tls.demands(routing)
    ways_out = steering.ways_out(config, workers, routing, resolver, router, probe, machine, fits)
    expire_s = config.queue.expire_s
    stored_by = config.delivery
    asked = QuotaStatus(stored_by.quota_status, clock) if stored_by.quota_status else None
    # What another server stores can't be measured here; it has the last word at delivery.
    measure = asked if stored_by.lmtp else quota
    return Outward(
        resolver,
        smtp,
        lmtp,
        maildir,
        router,
        policies,
        ways_out,
        Courier(smtp, lmtp, maildir, ways_out.chooser, returns),
        NoticeTidings(
            notice_settings(config),
            expire_s,
            numbers,
            clock,
            directory,
            holdings,
            suggestions,
            signers,
        ),
        Recipients(directory, CallAhead(router, smtp, clock), measure, returns),
        queue_settings(config, workers),
        asked,
        functools.partial(is_this_host, config.hostname, machine.owns),
    )


def is_this_host(hostname: str, owns: Callable[[str], bool], domain: str) -> bool:
    """Whether a recipient's domain is our host name, or an address literal of this machine."""
    if not domain.startswith("["):
        return domain == hostname
    return owns(domain[1:-1].removeprefix("IPv6:"))


def real_ports(setup: WorkerSetup) -> dict[int, int]:
    """The real port of each TCP listener, by index."""
    return {
        index: sock.getsockname()[1]
        for index, sock in setup.listeners
        if sock.family in {socket.AF_INET, socket.AF_INET6}
    }
