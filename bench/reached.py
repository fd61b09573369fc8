"""One number that was measured against a bound: for the terminal and for docs/benchmarks.md."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reached:
    """``value`` of ``what`` in ``unit``, and the most it may be (None: only written down)."""

    what: str
    value: float
    unit: str
    most: float | None = None
    note: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it is within its bound."""
        return self.most is None or self.value <= self.most

    def line(self) -> str:
        """For the terminal."""
        bound = "" if self.most is None else f" (at most {self.most:,g})"
        note = f"; {self.note}" if self.note else ""
        word = "" if self.is_good else "  TOO MUCH"
        return f"{self.what}: {self.value:,.1f} {self.unit}{bound}{note}{word}"

    def row(self) -> str:
        """A line of the page's table."""
        bound = "" if self.most is None else f"{self.most:,g} {self.unit}"
        value = f"{self.value:,.1f} {self.unit}"
        return (
            f"| {self.what} | {value if self.is_good else f'**{value}**'} | {bound} | {self.note} |"
        )


HEADINGS = ["| | reached | at most | |", "|---|---:|---:|---|"]


def table(findings: list[Reached]) -> list[str]:
    """All of them as lines of Markdown."""
    return [*HEADINGS, *(finding.row() for finding in findings)]
