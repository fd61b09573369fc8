from postern.mail.authres.results import MethodResult, Property


def test_the_first_value_of_a_property_is_found() -> None:
    result = MethodResult(
        "dkim", "pass", (Property("header", "d", "a.example"), Property("header", "d", "b.example"))
    )
    assert result.value("header", "d") == "a.example"
    assert result.value("header", "i") is None
    assert result.value("smtp", "d") is None
