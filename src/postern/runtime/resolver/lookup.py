"""What other rooms ask of a resolver, real or fake."""

from typing import Protocol

from postern.mail.dns import Answer, Question


class Lookup(Protocol):
    """Answers questions. No look-up raises: what went wrong is the answer's status."""

    @property
    def home(self) -> str:
        """Name of the resolver that is asked first."""
        ...

    def cached(self, question: Question, *, foreign_ok: bool = True) -> Answer | None:
        """The answer if it is known without asking anyone, else None. Never blocks."""
        ...

    async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
        """The answer, from the cache or from a server, within a few seconds.

        Args:
            question: name and type.
            foreign_ok: another named resolver may be asked when home couldn't tell. Off for block
                lists: they answer by who asks, and many refuse a resolver they do not know.
        """
        ...

    async def confirm(self, answer: Answer) -> Answer:
        """What stands of an answer that there is nothing, once another resolver was asked too.

        Ask so before mail is refused or returned for it. Any other answer, and one that nobody else
        can be asked about, stands as it is. See ``postern.runtime.resolver.second``.
        """
        ...


class ForgetfulLookup(Lookup, Protocol):
    """One that can be made to ask again what it knows."""

    def forget(self, question: Question) -> None:
        """Drop the answer, if one is kept: the next to ask is answered by a server."""
        ...
