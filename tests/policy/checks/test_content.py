"""Which attachments are refused, in which words; what is only noted or told as not known."""

import re
from dataclasses import replace

import pytest
from tests.mail.mime.making import PROGRAM, attached, encrypted, mixed, text, zipped

from postern.mail.finding import Finding, Result
from postern.mail.message.header import HeaderScan
from postern.mail.mime.part import Discovery, Structure, What
from postern.policy.checks import content
from postern.policy.checks.content import MAX_TOLD, ContentSettings, check_content, has_content
from postern.policy.checks.letter import Depth, LetterReader

OURS = ContentSettings()


async def look(message: bytes, settings: ContentSettings = OURS, step: int = 50) -> list[Finding]:
    message = b"From: a@tea.example\r\n" + message
    start = HeaderScan(message).body_start
    depth = Depth(watched=settings.watched)
    reader = LetterReader(message[:start], start, 0.0, depth)
    for at in range(start, len(message), step):
        reader.feed(message[at : at + step])
    letter = reader.finish()
    return list((await check_content(letter, settings)).findings) if has_content(letter) else []


async def only(message: bytes, settings: ContentSettings = OURS) -> tuple[Result, str]:
    (finding,) = await look(message, settings)
    assert finding.check == "content.attachment"
    return finding.result, finding.text


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        (b"x", "setup.exe", 'the attachment "setup.exe" is a program'),
        (b"x", "Setup.EXE.", 'the attachment "Setup.EXE." is a program'),
        (b"x", "macro.vbs", 'the attachment "macro.vbs" is a program'),
        (
            b"x", "invoice.pdf.exe",
            'the attachment "invoice.pdf.exe" is a program that is named like a document',
        ),
        (b"x", "disk.iso", 'the attachment "disk.iso" is of a kind that is not taken (.iso)'),
        (PROGRAM, "invoice.pdf", 'the attachment "invoice.pdf" is a Windows program'),
        (
            zipped({"a/setup.exe": b"x"}), "all.zip",
            '"setup.exe" in the attachment "all.zip" is a program',
        ),
        (
            zipped({"in.zip": zipped({"setup.exe": b"x"})}), "all.zip",
            '"setup.exe" in the attachment "all.zip" is a program',
        ),
        (
            encrypted(zipped({"x.js": b"x"})), "all.zip",
            '"x.js" in the attachment "all.zip" is a program',
        ),
    ],
)  # fmt: skip
async def test_what_is_refused_is_named_and_says_why(data: bytes, name: str, told: str) -> None:
    findings = await look(mixed(text(), attached(data, name)))
    assert (findings[0].check, findings[0].result) == ("content.attachment", Result.FAIL)
    assert findings[0].text == told


async def test_honest_attachments_pass_and_a_letter_without_any_is_not_mentioned() -> None:
    documents = [
        attached(b"%PDF-1.7" + bytes(900), "invoice.pdf"),
        attached(zipped({"word/document.xml": b"<w/>" * 500}), "Brief.docx"),
        attached(
            zipped({"google.com!tea.example!1!2.xml": b"<x/>"}), "google.com!tea.example!1.zip"
        ),
    ]
    assert await only(mixed(text(), *documents)) == (
        Result.PASS, "4 parts, none of a kind that is not taken",
    )  # fmt: skip
    assert await look(b"\r\nHello\r\n") == []
    assert await look(b"Content-Type: text/html\r\n\r\nHello\r\n") == []


@pytest.mark.parametrize("kind", ["message/partial", "Application/X-MSDownload"])
async def test_forbidden_types_are_refused(kind: str) -> None:
    part = f"Content-Type: {kind}; id=x; number=1\r\n\r\nx".encode()
    result, told = await only(mixed(text(), part))
    assert result is Result.FAIL
    assert told == f"an attachment is of a kind that is not taken ({kind.lower()})"


async def test_encrypted_archives_are_noted_or_refused_as_is_set() -> None:
    message = mixed(text(), attached(encrypted(zipped({"a.txt": b"x"})), "pay.zip"))
    assert (await only(message))[0] is Result.NOTE
    result, told = await only(message, replace(OURS, encrypted=True))
    assert result is Result.FAIL
    assert told == 'the attachment "pay.zip" is encrypted: nobody on the way can look into it'


async def test_what_could_not_be_looked_into_is_no_fail_whatever_content_attachment_leads_to() -> (
    None
):
    (finding,) = await look(mixed(text(), attached(b"\x28\xb5\x2f\xfd" + bytes(900), "a.zst")))
    assert (finding.check, finding.result) == ("content.couldnt-tell", Result.COULDNT_TELL)
    assert (
        finding.text == 'the attachment "a.zst" could not be looked into: zstd is not looked into'
    )
    assert finding.could_be == ("content.couldnt-tell",)


async def test_what_is_allowed_is_taken_but_not_when_it_is_named_like_a_document() -> None:
    settings = replace(OURS, extensions=OURS.extensions - {"js"})
    assert (await only(mixed(attached(b"x", "app.js"), text()), settings))[0] is Result.PASS
    result, told = await only(mixed(attached(b"x", "invoice.pdf.js"), text()), settings)
    assert result is Result.FAIL
    assert told.endswith("is a program that is named like a document")
    lenient = replace(settings, double_extensions=False)
    assert (await only(mixed(attached(b"x", "invoice.pdf.js"), text()), lenient))[0] is Result.PASS


async def test_programs_by_what_they_are_can_be_taken() -> None:
    message = mixed(attached(PROGRAM, "firmware.bin"), text())
    assert (await only(message))[0] is Result.FAIL
    assert (await only(message, replace(OURS, programs=False)))[0] is Result.PASS


@pytest.mark.parametrize(
    "name",
    [
        'a"; evil\r\n 250 ok.exe', "a\x1b[2J.exe", "a\u202egpj.exe", "x" * 3000 + ".exe",
        "\u2028\u2029.exe", "a\x00b.exe", "%s%n{0}.exe",
    ],
)  # fmt: skip
async def test_a_name_never_breaks_out_of_its_line(name: str) -> None:
    encoded = "".join(f"%{octet:02X}" for octet in name.encode())
    header = f"Content-Disposition: attachment; filename*=utf-8''{encoded}\r\n"
    findings = await look(mixed(attached(b"x", header=header), text()))
    assert findings[0].result is Result.FAIL
    for finding in findings:
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e]", finding.text)
        assert len(finding.text) < 250
        assert finding.text.count('"') == 2


async def test_a_thousand_attachments_are_told_in_a_few_lines() -> None:
    parts = [attached(b"x", f"{number}.exe") for number in range(100)]
    parts += [attached(b"\x28\xb5\x2f\xfd", f"{number}.zst") for number in range(100)]
    assert len(await look(mixed(*parts), step=10_000)) <= 10


async def test_no_more_names_are_looked_at_than_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    by_name = content._by_name

    def counted(name: str, settings: ContentSettings) -> str:
        looked_at.append(name)
        return by_name(name, settings)

    monkeypatch.setattr(content, "_by_name", counted)
    header = b"From: a@tea.example\r\n\r\n"
    discoveries = [Discovery(What.WATCHED, f"{number // 2}.exe") for number in range(300)]
    letter = replace(
        LetterReader(header, len(header), 0.0, Depth(watched=OURS.watched)).finish(),
        structure=Structure(discoveries=tuple(discoveries)),
    )
    assert len((await check_content(letter, OURS)).findings) == MAX_TOLD
    assert len(looked_at) == 2 * MAX_TOLD - 1


async def test_base64_that_ends_too_often_could_not_be_looked_into() -> None:
    part = attached(b"", "a.zip") + b"UEsDBA==" * 2000
    findings = await look(mixed(text(), part), step=10_000)
    assert [(one.check, one.text) for one in findings] == [
        (
            "content.couldnt-tell",
            'the attachment "a.zip" could not be looked into: its base64 ends too often',
        )
    ]
