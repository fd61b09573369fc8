from postern.mail.spf.result import SpfCode, SpfResult, Step, out_of_time


def test_the_deciding_mechanism_is_the_first_that_is_no_redirect() -> None:
    steps = (
        Step("a.example", "redirect=b.example", is_redirect=True),
        Step("b.example", "include:c.example"),
        Step("c.example", "redirect=d.example", is_redirect=True),
    )
    result = SpfResult(SpfCode.PASS, "a.example", "d.example", "ip4:192.0.2.1", steps)
    assert result.mechanism == "include:c.example"
    redirected = SpfResult(SpfCode.PASS, "a.example", "b.example", "mx", steps[:1])
    assert redirected.mechanism == "mx"


def test_a_check_without_end_is_a_temperror() -> None:
    result = out_of_time("tea.example")
    assert (result.code, result.domain) == (SpfCode.TEMPERROR, "tea.example")
    assert result.problem
