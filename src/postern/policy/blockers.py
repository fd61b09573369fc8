"""All that refuses a message for a recipient, not only what refused it first.

Whoever waives the first cause and learns of the second from the sender's next call has waived for
nothing.
"""

from postern.policy.judge import Gravity, Judgement
from postern.policy.rules.rule import family_of


def next_refusals(judgement: Judgement) -> tuple[str, ...]:
    """The checks that would refuse, one after the other, were what refused waived, or ended.

    The gravest is the next, of equals the one found first: as ``judge`` picks the first of all.
    """
    first = judgement.because
    families = set() if first is None else {family_of(first.check)}
    then = []
    for one in sorted(judgement.weighed, key=lambda one: -one.gravity):
        family = family_of(one.finding.check)
        if one.gravity >= Gravity.REFUSE_FOR_NOW and family not in families:
            families.add(family)
            then.append(one.finding.check)
    return tuple(then)
