"""What has been tried for one job: records for its trace, and what each failure was."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from postern.delivery.attempt import name_of, records
from postern.delivery.job import Job
from postern.journal.record import AttemptRecord
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.paths import Sign
from postern.mail.route import TlsPolicy, Way
from postern.mail.smtp.client_outcomes import own_words


@dataclass(frozen=True, slots=True)
class Failure:
    """A way that came to nothing: what was said, and what it says of the path, if anything."""

    way: Way
    outcome: Deferred | Refused
    sign: Sign | None

    @property
    def may_go_in_clear(self) -> bool:
        """TLS was what failed, nobody demands it, and no password would go along."""
        is_tls = self.sign is not None and self.sign.is_tls
        is_demanded = self.way.target.tls.policy is not TlsPolicy.OPPORTUNISTIC
        return is_tls and not is_demanded and self.way.egress.username is None


@dataclass(slots=True)
class Tries:
    """What has been tried so far, since the monotonic second ``began``."""

    ways: Sequence[Way]
    job: Job
    began: float
    only_asks: bool = False
    records: list[AttemptRecord] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def failed(self, way: Way, outcome: Deferred | Refused, sign: Sign | None) -> None:
        """Remember why a way came to nothing."""
        self.failures.append(Failure(way, outcome, sign))

    def note(
        self, way: Way, at: float, seconds: float, tls: str, outcome: Deferred | Refused
    ) -> None:
        """Put a way that came to nothing on record: begun ``at``, after so many seconds."""
        everyone = (outcome,) * len(self.job.recipients)
        self.records.extend(records(name_of(way), at, seconds, tls, everyone))

    @property
    def not_answered(self) -> Sequence[Way]:
        """The ways on which no server has turned the message away yet."""
        said = [
            failure.way
            for failure in self.failures
            if failure.outcome.remote or isinstance(failure.outcome, Refused)
        ]
        return [way for way in self.ways if way not in said] if said else self.ways

    @property
    def was_answered(self) -> bool:
        """Whether a server has said a word against us, which no other egress may dodge."""
        return any(f.outcome.remote and not f.way.is_relay for f in self.failures)

    @property
    def most_telling(self) -> Deferred | Refused:
        """What the sender is told when every way failed: a server's own words before ours.

        Refused only where none of them may have the message: another may be back tomorrow.
        """
        outcomes = [failure.outcome for failure in self.failures]
        waiting = [outcome for outcome in outcomes if isinstance(outcome, Deferred)]
        for outcome in waiting:
            if outcome.remote:
                return outcome
        if outcomes:
            return (waiting or outcomes)[0]
        return own_words(Cause.NO_MAIL_HOST, "There is no address to try")
