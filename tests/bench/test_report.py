"""The benchmark's arithmetic: medians, ratios, and what people wrote by hand is kept."""

import pytest
from bench.checks import SCENARIOS as CHECKED
from bench.limits import BEGIN, END, PARTS, Section, put_between, put_in
from bench.reached import Reached
from bench.report import (
    CHECKS_BEGIN,
    CHECKS_END,
    MARK,
    Results,
    markdown,
    merge,
    plain,
    put_checks,
    rows,
)
from bench.rounds import Measured, Pace
from bench.scenario import SCENARIOS, Scenario, Way

SCENARIO = Scenario(Way.ACCEPT, 4_000, 20, reuse=False, goal=4)


def results() -> Results:
    found = Results()
    for rate in (90, 100, 300):
        found.add(SCENARIO, "Postfix", Measured(rate * 10, 10.0, 5.0, 50_000_000))
        found.add(SCENARIO, "Postern", Measured(rate * 40, 10.0, 8.0, 80_000_000 + rate))
    return found


def test_ratio_is_of_medians_and_an_odd_round_does_not_move_it() -> None:
    postfix, postern = rows(results(), SCENARIO)
    assert postfix.rate == 100
    assert postfix.ratio == 1
    assert postern.rate == 400
    assert postern.ratio == 4
    assert (postern.lowest, postern.highest) == (360, 1200)
    assert postfix.cpu_per_1000 == 5.0
    assert postern.peak_mb > 80


def test_no_ratio_is_claimed_without_postfix() -> None:
    alone = Results()
    alone.add(SCENARIO, "Postern", Measured(100, 10.0, 1.0, 1))
    assert rows(alone, SCENARIO)[0].ratio is None
    assert "accept 4 kB, one message a session" in plain(alone, SCENARIO)


def test_page_holds_facts_tables_notes_and_limits() -> None:
    page = markdown(
        results(),
        [("kernel", "6.1")],
        [("Postern", "durable")],
        [Section(PARTS[0], [Reached("10,000 idle connections", 200.0, "MB", 150, "20 kB each")])],
        rounds=5,
        seconds=10,
    )
    assert "| kernel | 6.1 |" in page
    assert "| Postern | 400 (360-1,200) | 4.00 x |" in page
    assert "- **Postern**: durable." in page
    assert "| 10,000 idle connections | **200.0 MB** | 150 MB | 20 kB each |" in page
    assert "Goal: Postern 4 x Postfix." in page


def test_what_people_wrote_below_the_mark_is_kept() -> None:
    first = merge("", "# Benchmarks\n")
    by_hand = first + "\n## Where the time goes\n\nHalf of it is kernel time.\n"
    second = merge(by_hand, "# Benchmarks, again\n")
    third = merge(second, "# Benchmarks, again\n")
    assert second.startswith("# Benchmarks, again\n")
    assert "Half of it is kernel time." in second
    assert second == third
    assert second.count(MARK) == 1


@pytest.mark.parametrize("first", [BEGIN, CHECKS_BEGIN])
def test_what_was_not_measured_this_time_stays_as_it_was(first: str) -> None:
    last = {BEGIN: END, CHECKS_BEGIN: CHECKS_END}[first]
    section = f"{first}\nas measured then\n{last}"
    page = merge(f"# Benchmarks\n\n{section}\n\n{MARK}\nby hand\n", "# Benchmarks, again\n")
    assert section in page
    assert merge(page, "# Benchmarks, again\n") == page
    changed = put_between(page, f"{first}\nnow\n{last}\n", first, last)
    assert changed == page.replace("as measured then", "now")


def test_checked_mail_has_its_place_in_what_is_generated() -> None:
    section = f"{CHECKS_BEGIN}\nnow\n{CHECKS_END}\n"
    page = put_checks(f"# Benchmarks\n\n{MARK}\nby hand\n", section)
    assert page.index(CHECKS_END) < page.index(MARK)
    assert merge(page, "# Benchmarks, again\n").count(CHECKS_BEGIN) == 1
    assert put_checks(page, section) == page


def test_every_scenario_has_its_own_key_and_name() -> None:
    every = (*SCENARIOS, *CHECKED)
    assert len({scenario.key for scenario in every}) == len(every)
    assert len({scenario.name for scenario in every}) == len(every)


def test_message_count_fills_the_round_at_the_known_rate() -> None:
    pace = Pace({"Postern": 2000.0})
    assert pace.count("Postern", 10.0, spare=0.1) == 22_000
    assert pace.count("Postern", 0.001, spare=0) > 2


def test_limits_are_written_anew_without_touching_the_rest_of_the_page() -> None:
    page = f"# Benchmarks\n\n{BEGIN}\nold\n{END}\n\n{MARK}\nby hand\n"
    changed = put_in(page, f"{BEGIN}\nnew\n{END}\n")
    assert changed == page.replace("old", "new")


def test_page_without_limits_gets_them_at_its_end() -> None:
    assert put_in("# Benchmarks\n", f"{BEGIN}\n{END}\n") == f"# Benchmarks\n\n{BEGIN}\n{END}\n"


def test_number_over_its_bound_is_told_and_one_without_a_bound_never_is() -> None:
    assert not Reached("idle", 151, "MB", 150).is_good
    assert "TOO MUCH" in Reached("idle", 151, "MB", 150).line()
    assert Reached("idle under TLS", 500, "MB").is_good


def test_limits_stay_on_the_page_when_only_rates_were_measured() -> None:
    old = merge("", f"# Benchmarks\n\n{BEGIN}\n## Limits\n\n50 MB: fine\n\n{END}\n")
    new = merge(old, "# Benchmarks, again\n")
    assert new.count(BEGIN) == new.count(END) == 1
    assert "50 MB: fine" in new
    assert new.index("again") < new.index(BEGIN) < new.index(MARK)
