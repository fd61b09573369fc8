"""The doctor looks at the relays: whether they take our login, and answer."""

from collections.abc import Iterator, Sequence

from postern.diagnosis.doctor_results import Result, Site, ok, problem, warning
from postern.mail.paths import Sign
from postern.mail.route import RELAY_GROUP
from postern.routing.paths.health import PathCondition, PathState, as_of
from postern.routing.paths.store.schema import FILE_NAME
from postern.routing.paths.store.view import PathView
from postern.runtime.clock import Instant, rfc3339


def examine_relays(site: Site, now: Instant) -> Iterator[Result]:
    """How the relays did when they were last used or tested."""
    if not site.relays:
        return
    states: list[PathState] = []
    if (site.data_dir / FILE_NAME).exists():
        view = PathView.open(site.data_dir)
        try:
            groups = {RELAY_GROUP + relay for relay in site.relays}
            states = [state for state in view.states() if state.group in groups]
        finally:
            view.close()
    yield from judge_relays(site.relays, states, now)


def judge_relays(
    relays: Sequence[str], states: Sequence[PathState], now: Instant
) -> Iterator[Result]:
    """A result for each relay."""
    known = [left for state in states if (left := as_of(state, now)) is not None]
    for relay in relays:
        mine = [one for one in known if one.group == RELAY_GROUP + relay]
        bad = [one for one in mine if one.condition is not PathCondition.HEALTHY]
        locked = [one for one in bad if one.last_sign is Sign.LOCKED_OUT]
        if locked:
            yield problem(
                f"relay.{relay}",
                f"the relay {relay} does not take our login or our mail since"
                f" {rfc3339(locked[0].since)[:16]}: {locked[0].last_error}",
                "correct username and password_file of its [[egress]], or what it allows us;"
                " meanwhile no mail is lost, it waits or goes direct",
            )
        elif bad:
            yield warning(
                f"relay.{relay}",
                f"the relay {relay} is {bad[0].condition.value} since"
                f" {rfc3339(bad[0].since)[:16]}: {bad[0].last_error}",
                f"see: postern paths {RELAY_GROUP}{relay}",
            )
        else:
            yield ok(f"relay.{relay}", f"nothing bad is known of the relay {relay}")
