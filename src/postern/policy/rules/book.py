"""The rules of one recipient: its mailbox's, its domain's, the system's, in that order."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from postern.policy.rules.match import Facts, Fit, fit
from postern.policy.rules.rule import DEFAULTS, UNTOLD, Rule, Scope, Treatment, is_locked
from postern.policy.rules.shelf import Shelf, particularity

_EMPTY = Shelf()


@dataclass(frozen=True, slots=True)
class Setting:
    """How a check is treated, and who said so."""

    treatment: Treatment
    scope: Scope = Scope.SYSTEM


@dataclass(frozen=True, slots=True)
class Book:
    """All that was decided for one recipient.

    ``domain_settings`` and ``system_settings``: check id to treatment, where it is not the default.
    """

    mailbox: Shelf = _EMPTY
    domain: Shelf = _EMPTY
    system: Shelf = _EMPTY
    domain_settings: Mapping[str, Treatment] = field(default_factory=dict)
    system_settings: Mapping[str, Treatment] = field(default_factory=dict)

    def without(self, rule: Rule) -> "Book":
        """The same without one rule, found by its label."""
        mailbox, domain, system = (
            Shelf(one for one in shelf.rules if one.label != rule.label)
            for shelf in (self.mailbox, self.domain, self.system)
        )
        return replace(self, mailbox=mailbox, domain=domain, system=system)

    def setting(self, check: str) -> Setting:
        """How ``check`` is treated; what is locked stays as it is, whatever anybody set."""
        default = DEFAULTS.get(check) or UNTOLD.get(check, Treatment.NOTE)
        if is_locked(check):
            return Setting(default)
        return self.said(check) or Setting(default)

    def said(self, check: str) -> Setting | None:
        """How somebody wants ``check`` treated; None where nobody said anything."""
        if check in self.domain_settings:
            return Setting(self.domain_settings[check], Scope.DOMAIN)
        treatment = self.system_settings.get(check)
        return None if treatment is None else Setting(treatment)

    def settings_alone(self) -> "Book":
        """The same without any rule."""
        return Book(domain_settings=self.domain_settings, system_settings=self.system_settings)

    def key(self, facts: Facts) -> Hashable:
        """Equal for recipients whose verdicts on a message from this client cannot differ.

        The system's rules are the same for all; what is the mailbox's and what is the domain's is
        kept apart, for the nearer decides.
        """
        return (
            self.mailbox.key(facts),
            self.domain.key(facts),
            frozenset(self.domain_settings.items()),
            facts.is_known,
        )

    @property
    def asks_known(self) -> bool:
        """True when a rule is about whom this recipient has written to."""
        return self.mailbox.asks_known or self.domain.asks_known or self.system.asks_known

    def fitting(self, facts: Facts) -> Iterator[Rule]:
        """The rules about this message, the one that decides first."""
        for shelf in (self.mailbox, self.domain, self.system):
            for rule in shelf.candidates(facts):
                if rule.is_over(facts.at):
                    continue
                if fit(rule.match, facts, needs_proof=rule.needs_proof) is Fit.YES:
                    yield rule

    def not_yet_allowing(self, facts: Facts) -> list[Rule]:
        """Rules that let through and may fit once the header is there, the nearest first."""
        if facts.has_header:
            return []
        return [
            rule
            for shelf in (self.mailbox, self.domain, self.system)
            for rule in shelf.header_allows
            if not rule.is_over(facts.at)
            and fit(rule.match, facts, needs_proof=rule.needs_proof) is Fit.NOT_YET
        ]


_NEARNESS = {scope: place for place, scope in enumerate(Scope)}


def nearness(scope: Scope) -> int:
    """The nearer the scope, the lower."""
    return _NEARNESS[scope]


def rank(rule: Rule) -> tuple[int, tuple[int, int, int]]:
    """Sorts the rule that decides first."""
    return nearness(rule.scope), particularity(rule)
