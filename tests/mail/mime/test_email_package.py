"""Parts and names as by the standard library's ``email``, for mail that is in order."""

from email import message_from_bytes, policy
from email.message import EmailMessage

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mail.mime.making import read

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]),
    min_size=1,
    max_size=90,
).filter(lambda name: name.strip() == name and not set('\\/"%') & set(name))
FILES = st.lists(
    st.tuples(
        NAMES,
        st.binary(max_size=300),
        st.sampled_from(["application/pdf", "image/png", "application/octet-stream"]),
    ),
    max_size=4,
)


def written(files: list[tuple[str, bytes, str]], *, html: bool, nested: bool) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = "a@tea.example"
    message.set_content("Hello\n")
    if html:
        message.add_alternative("<p>Hello</p>\n", subtype="html")
    for name, data, kind in files:
        main, _, sub = kind.partition("/")
        message.add_attachment(data, main, sub, filename=name)
    if nested:
        outer = EmailMessage(policy=policy.SMTP)
        outer.set_content("See below\n")
        outer.add_attachment(message)
        message = outer
    return message.as_bytes()


@settings(max_examples=150, deadline=None)
@given(FILES, st.booleans(), st.booleans(), st.sampled_from([0, 1, 100]))
def test_parts_are_those_of_the_email_package(
    files: list[tuple[str, bytes, str]],
    html: bool,  # noqa: FBT001 - drawn
    nested: bool,  # noqa: FBT001 - drawn
    step: int,
) -> None:
    raw = written(files, html=html, nested=nested)
    theirs = [
        part
        for part in message_from_bytes(raw, policy=policy.SMTP).walk()
        if not part.is_multipart()
    ]
    ours = read(raw, step)
    assert ours.faults == frozenset()
    assert [part.type for part in ours.parts] == [part.get_content_type() for part in theirs]
    for part, other in zip(ours.parts, theirs, strict=True):
        name = other.get_filename()
        assert (name in part.names) if name else part.names == ()
