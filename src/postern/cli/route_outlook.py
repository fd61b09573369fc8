"""What a route would touch, and what speaks against it, before it is made."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from postern.app.settings import resolver_settings
from postern.app.ways_out import routing_settings
from postern.config.provider_checks import providers_of
from postern.config.settings import Config
from postern.mail.dns import Question, Status
from postern.mail.route import TlsPolicy
from postern.queue.view import groups, look_at_group
from postern.routing.mandates import Mandates
from postern.routing.paths.store.schema import FILE_NAME
from postern.routing.paths.store.view import PathView
from postern.routing.relays import Relay, Relays
from postern.routing.routes.route import RouteMatch
from postern.routing.routes.store import RouteDraft
from postern.routing.settings import RoutingSettings
from postern.runtime.clock import SystemClock
from postern.runtime.resolver.resolver import Resolver

PATIENCE_S = 6.0
MAX_LOOKED_AT = 10_000
EXAMPLES = 3
SHOWN_GROUPS = 8


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of the mail.

    ``is_known``: mail has gone there before, or waits, or it is a provider of the table;
    ``groups``: others that could be meant.
    """

    is_known: bool
    domains: int
    examples: tuple[str, ...]
    waiting: int
    groups: tuple[str, ...]
    doubts: tuple[str, ...]


def is_known_group(config: Config, group: str) -> bool:
    """Whether mail has gone to an MX group of this name, or waits, or a provider bears it.

    Raises:
        OSError: a spool can't be read.
        DatabaseTroubleError: the file of paths can't be read.
    """
    draft = RouteDraft(RouteMatch.GROUP, group, "", "")
    counts, _, _ = _known(config, draft)
    names = {*counts, *groups(config.data_dir / "spool"), *providers_of(config).names}
    return group in names


def outlook(config: Config, draft: RouteDraft, our_domains: Sequence[str]) -> Outlook:
    """Look at paths, spools and, for a relay, at DNS; takes a few seconds at most.

    Raises:
        OSError: a spool can't be read.
        DatabaseTroubleError: the file of paths can't be read.
    """
    waiting = groups(config.data_dir / "spool")
    counts, examples, group = _known(config, draft)
    if draft.match is RouteMatch.GROUP:
        is_provider = draft.value in providers_of(config).names
        is_known = draft.value in {*counts, *waiting} or is_provider
        number = waiting.get(draft.value, 0)
        domains = counts.get(draft.value, 0)
    else:
        is_known, domains = True, 1
        number = _waiting_of(config, draft.value, {group, *waiting} - {None, ""})
    names = sorted({*counts, *waiting} - {""}, key=lambda name: -waiting.get(name, 0))
    doubts = asyncio.run(_doubts(config, draft.via, our_domains))
    return Outlook(is_known, domains, examples, number, tuple(names[:SHOWN_GROUPS]), tuple(doubts))


def _known(config: Config, draft: RouteDraft) -> tuple[dict[str, int], tuple[str, ...], str | None]:
    """Domains of each group, some of this one's, and the group of a domain."""
    if not (config.data_dir / FILE_NAME).exists():
        return {}, (), None
    view = PathView.open(config.data_dir)
    try:
        if draft.match is RouteMatch.DOMAIN:
            return view.domain_counts(), (), view.group_of(draft.value)
        return view.domain_counts(), tuple(view.domains(draft.value, EXAMPLES)), draft.value
    finally:
        view.close()


def _waiting_of(config: Config, domain: str, among: set[str | None]) -> int:
    """Waiting mail of one domain, among what these groups have first."""
    end = f"@{domain}"
    return sum(
        line.to.lower().endswith(end)
        for group in among
        if group
        for line in look_at_group(config.data_dir / "spool", group, MAX_LOOKED_AT)
    )


async def _doubts(config: Config, via: str, our_domains: Sequence[str]) -> list[str]:
    """What speaks against a relay, as far as it can be told within ``PATIENCE_S``."""
    routing = routing_settings(config, {})
    clock = SystemClock()
    resolver = Resolver(resolver_settings(config), clock)
    relays = Relays(routing.relays, resolver, clock, lambda _ip, _port: False, want_ipv6=True)
    mandates = Mandates(resolver, clock, config.hostname)
    doubts = _usual_doubts(routing)
    relay = relays[via]
    if relay is None:
        return doubts
    doubts += _settings_doubts(relay)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await relays.look_up()
            doubts += await _dns_doubts(relay, resolver, mandates, our_domains)
    except TimeoutError:
        doubts.append(f"DNS took too long to tell what SPF and PTR say of {via}")
    finally:
        await mandates.close()
        await resolver.aclose(0.0)
    return doubts


def _usual_doubts(routing: RoutingSettings) -> list[str]:
    usual = routing.egress(None)
    if usual is None or usual.relay is None:
        return []
    return [
        f"all mail leaves through {usual.name} ([delivery] egress, or the first [[egress]]):"
        " a route changes nothing of that"
    ]


def _settings_doubts(relay: Relay) -> list[str]:
    doubts = []
    if relay.settings.tls is not TlsPolicy.VERIFY:
        doubts.append(
            f'{relay.name}: its certificate is not verified; set tls = "verify" in its [[egress]]'
        )
    if not relay.settings.enforces_tls:
        doubts.append(
            f"{relay.name}: mail that needs DANE, MTA-STS or REQUIRETLS does not take it"
            " (enforces_tls)"
        )
    return doubts


async def _dns_doubts(
    relay: Relay, resolver: Resolver, mandates: Mandates, our_domains: Sequence[str]
) -> list[str]:
    ips = relay.public_ips
    if not ips:
        return [f"{relay.name}: DNS gives no address for it now"]
    doubts = []
    for ip in ips:
        answer = await resolver.ask(Question.reverse(ip))
        if answer.status is not Status.OK:
            word = "has no PTR" if answer.status.is_known else "PTR couldn't be told"
            doubts.append(f"{relay.name}: {ip} {word}, and many servers refuse mail from such")
    told = await asyncio.gather(*(mandates.look_up(domain, relay) for domain in our_domains))
    for domain, covers in zip(our_domains, told, strict=True):
        if covers is None:
            doubts.append(f"SPF of {domain} couldn't be told")
        elif not covers:
            doubts.append(
                f"SPF of {domain} does not let {', '.join(ips)} send for it: only mail with its"
                " DKIM signature will pass DMARC"
            )
    return doubts
