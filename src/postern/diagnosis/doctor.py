"""Looks for what hurts the server or soon will, and names the limit, the side and the cure."""

from collections.abc import Callable, Iterator

from postern.diagnosis.doctor_certificates import examine_certificates
from postern.diagnosis.doctor_data import examine_data, examine_user, examine_workers
from postern.diagnosis.doctor_dkim import examine_dkim
from postern.diagnosis.doctor_machine import examine_clock, examine_disk, examine_limits
from postern.diagnosis.doctor_network import examine_ports, examine_resolvers
from postern.diagnosis.doctor_quarantine import examine_quarantine
from postern.diagnosis.doctor_relays import examine_relays
from postern.diagnosis.doctor_results import Result, Site, couldnt_tell
from postern.diagnosis.doctor_scanners import examine_scanners
from postern.diagnosis.doctor_sending import examine_sending
from postern.runtime.clock import Clock


def examine(site: Site, clock: Clock) -> list[Result]:
    """Look at everything; takes a few seconds at most (resolvers that do not answer).

    A check that fails itself is "couldn't tell": the others still run.
    """
    rounds: list[tuple[str, Callable[[], Iterator[Result]]]] = [
        ("server", lambda: examine_workers(site, clock.now())),
        ("port", lambda: examine_ports(site)),
        ("user", lambda: examine_user(site)),
        ("disk", lambda: examine_disk(site)),
        ("data", lambda: examine_data(site)),
        ("quarantine", lambda: examine_quarantine(site)),
        ("dkim", lambda: examine_dkim(site, clock.now())),
        ("relay", lambda: examine_relays(site, clock.now())),
        ("limits", lambda: examine_limits(site)),
        ("clock", lambda: examine_clock(clock.now())),
        ("certificate", lambda: examine_certificates(site, clock.now())),
        ("scanner", lambda: examine_scanners(site, clock)),
        ("sending", lambda: examine_sending(site, clock)),
        ("resolver", lambda: examine_resolvers(site, clock)),
    ]
    results: list[Result] = []
    for name, look in rounds:
        try:
            results += look()
        except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
            results.append(couldnt_tell(f"{name}.failed", f"{type(error).__name__}: {error}"))
    return results
