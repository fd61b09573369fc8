"""docs/rfc.md says what the code says."""

from pathlib import Path

from scripts import rfc


def test_page_is_in_step_with_the_citations() -> None:
    standings, citations = rfc.read_standings(), rfc.read_citations()
    assert not rfc.problems(standings, citations)
    assert rfc.PAGE.read_text("utf-8") == rfc.page(standings, citations), "run: make docs"


def test_citations_are_found_with_and_without_a_section(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text('"""RFC 5321 §4.5.4.1, RFC 3464; RFC 5321 §4.10."""')
    (tmp_path / "two.py").write_text("# RFC 5321 §4.9 and §F.2 of RFC 5321 §F.2.")
    found = rfc.read_citations(tmp_path)
    assert found[5321].sections == {"4.5.4.1", "4.10", "4.9", "F.2"}
    assert found[5321].modules == {"one.py", "two.py"}
    assert found[3464].sections == set()
    assert sorted(found[5321].sections, key=rfc.section_key) == ["4.5.4.1", "4.9", "4.10", "F.2"]


def test_a_claim_without_a_citation_and_a_citation_without_an_entry_are_told() -> None:
    standings = {
        1: rfc.Standing(1, "One", "done", ""),
        2: rfc.Standing(2, "Two", "part", ""),
        3: rfc.Standing(3, "Three", "perhaps", ""),
    }
    told = "\n".join(rfc.problems(standings, {2: rfc.Cited(), 4: rfc.Cited(modules={"x.py"})}))
    assert "RFC 1 is said to be done; no code cites it" in told
    assert "RFC 2 is held in part" in told
    assert "'perhaps' is no status word" in told
    assert "RFC 4 is cited in x.py" in told
