"""Write docs/rfc.md: which RFC is held how far, and where the code says so.

Run as ``python -m scripts.rfc`` (``make docs``). Citations in ``src`` are written
``RFC 5321 §4.5.4.1``, so that they can be found; titles and status are in ``scripts/rfc.toml``.
"""

import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "postern"
TABLE = ROOT / "scripts" / "rfc.toml"
PAGE = ROOT / "docs" / "rfc.md"

CITATION = re.compile(r"RFC (?P<number>\d{3,5})(?: §(?P<section>[0-9A-Z]+(?:\.\d+)*))?")
STATUS_WORDS = {
    "done": "everything that concerns a mail server of this kind",
    "part": "with the exception noted",
    "leaned": "read for a definition or a warning; nothing to implement",
    "later": "not begun",
}
HEAD = """\
# RFCs

Made by `make docs` from the citations in `src/` and from `scripts/rfc.toml`; do not edit. To find
the code for a section: `git grep 'RFC 5321 §4.5.4.1'`.

"""


@dataclass(frozen=True, slots=True)
class Standing:
    """One entry of ``scripts/rfc.toml``."""

    number: int
    title: str
    status: str
    note: str


@dataclass(slots=True)
class Cited:
    """Where one RFC is cited: sections, and modules (paths below ``src/postern``)."""

    sections: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)


def read_standings(table: Path = TABLE) -> dict[int, Standing]:
    """The entries of ``scripts/rfc.toml`` by number."""
    read = tomllib.loads(table.read_text("utf-8"))
    return {
        int(number): Standing(int(number), entry["title"], entry["status"], entry.get("note", ""))
        for number, entry in read.items()
    }


def read_citations(source: Path = SOURCE) -> dict[int, Cited]:
    """Every citation in the source, by number."""
    found: dict[int, Cited] = defaultdict(Cited)
    for module in sorted(source.rglob("*.py")):
        for match in CITATION.finditer(module.read_text("utf-8")):
            cited = found[int(match["number"])]
            cited.modules.add(module.relative_to(source).as_posix())
            if match["section"]:
                cited.sections.add(match["section"])
    return dict(found)


def section_key(section: str) -> list[tuple[int, str]]:
    """Sort ``4.10`` behind ``4.9``, and appendices behind chapters."""
    return [(int(part), "") if part.isdigit() else (1_000_000, part) for part in section.split(".")]


def problems(standings: dict[int, Standing], citations: dict[int, Cited]) -> list[str]:
    """What keeps the page from being true, in sentences."""
    found = [
        f"RFC {number} is cited in {', '.join(sorted(cited.modules))} but not in scripts/rfc.toml"
        for number, cited in sorted(citations.items())
        if number not in standings
    ]
    for standing in standings.values():
        if standing.status not in STATUS_WORDS:
            found.append(f"RFC {standing.number}: {standing.status!r} is no status word")
        if standing.status == "part" and not standing.note:
            found.append(f"RFC {standing.number} is held in part: `note` must say what is missing")
        if standing.status in {"done", "part"} and standing.number not in citations:
            found.append(f"RFC {standing.number} is said to be {standing.status}; no code cites it")
    return found


def page(standings: dict[int, Standing], citations: dict[int, Cited]) -> str:
    """The text of docs/rfc.md; RFCs that are only leaned on and cited nowhere are left out."""
    lines = [f"- **{word}**: {meaning}" for word, meaning in STATUS_WORDS.items()]
    lines += ["", "| RFC | title | status | sections cited | where |", "|---|---|---|---|---|"]
    for number, standing in sorted(standings.items()):
        cited = citations.get(number, Cited())
        if standing.status == "leaned" and not cited.modules:
            continue
        sections = ", ".join(f"§{name}" for name in sorted(cited.sections, key=section_key))
        modules = ", ".join(f"`{name}`" for name in sorted(cited.modules))
        status = f"{standing.status}: {standing.note}" if standing.note else standing.status
        lines.append(f"| {number} | {standing.title} | {status} | {sections} | {modules} |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    """Write the page; stop with the problems when there are any."""
    standings, citations = read_standings(), read_citations()
    if found := problems(standings, citations):
        raise SystemExit("\n".join(found))
    PAGE.write_text(page(standings, citations), encoding="utf-8")


if __name__ == "__main__":
    main()
