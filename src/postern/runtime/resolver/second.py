"""What stands when a second resolver was asked whether there is really nothing.

A resolver that lies, or whose way to a zone is broken, makes names disappear that are there; mail
must not be refused or returned for that. So who would refuse for "there is nothing" has it
confirmed first.

- Both say that there is nothing: that is a fact, and the milder word of the two is used (the name
  exists, this type does not).
- The second has it: its answer is used, and says who denied it.
- The second is at work, and couldn't tell: nobody can. That is "not now", as ever.
- The second is out of order (``postern.runtime.resolver.health``) and confirms nobody: the first
  one's word stands, as if it were the only one.
"""

from dataclasses import replace

from postern.mail.dns import Answer, Status


def weigh(first: Answer, second: Answer) -> Answer:
    """What stands of a negative answer and of what another resolver made of the same question."""
    if not second.is_negative:
        return replace(second, denied_by=first.resolver)
    milder, other = (first, second) if first.status is Status.NO_DATA else (second, first)
    ttl_s = min(first.ttl_s, second.ttl_s)
    return replace(milder, ttl_s=ttl_s, confirmed_by=other.resolver)
