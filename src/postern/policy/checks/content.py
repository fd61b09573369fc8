"""Attachments of a kind that is not taken: programs by their name, their type or what they are.

Inside archives too, and in archives inside those. What is refused is what Gmail and Outlook refuse,
for nobody can send such things by mail today. Encrypted archives are only noted: accountants and
banks send them every day, Gmail and Exchange take them, and the names in an encrypted zip can
be read. What could not be looked into is told, and refuses nothing by itself.

Source: RFC 2183 §5 (names are not to be trusted), "File types blocked in Gmail" and "Blocked
attachments in Outlook" as of 2026.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from postern.mail.finding import Finding, Result, Whose
from postern.mail.message.text import clean_text
from postern.mail.mime.names import DOCUMENTS, extensions, last_two
from postern.mail.mime.part import Discovery, What
from postern.policy.checks.check import Found
from postern.policy.checks.letter import Letter


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PROGRAMS = _words(
    "ade adp apk app application appref-ms appx appxbundle bat chm cmd com command cpl diagcab"
    " diagcfg diagpkg dll elf ex ex_ exe gadget hta ins isp jar jnlp js jse lib library-ms lnk mde"
    " mjs msc msh msi msix msixbundle msp mst nsh ocx pif ps1 ps1xml ps2 psc1 psm1 reg scf scr sct"
    " settingcontent-ms shb shs sys vb vbe vbs vbscript vxd ws wsc wsf wsh xbap xll xnk"
)
"""Extensions of what runs when it is opened."""
CARRIERS = _words("ace cab dmg img iso vhd vhdx")
"""Extensions of what is opened like a folder, and hides from mail filters what it holds."""
TYPES = frozenset(
    [
        "application/hta",
        "application/x-dosexec",
        "application/x-msdos-program",
        "application/x-msdownload",
        "application/vnd.microsoft.portable-executable",
        # A file in pieces, one in each of several messages: no filter sees it (RFC 2046 §5.2.2).
        "message/partial",
    ]
)
MAX_TOLD = 5
_MAX_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class ContentSettings:
    """What is not taken.

    Attributes:
        extensions: in lower case, without a dot.
        types: media types in lower case.
        programs: also what is a program by its first octets, whatever it is called.
        double_extensions: also ``invoice.pdf.js`` where ``js`` is taken.
        encrypted: encrypted archives are refused, not noted.
    """

    extensions: frozenset[str] = PROGRAMS | CARRIERS
    types: frozenset[str] = TYPES
    programs: bool = True
    double_extensions: bool = True
    encrypted: bool = False

    @property
    def watched(self) -> frozenset[str]:
        """The extensions that have to be told of."""
        return self.extensions | PROGRAMS if self.double_extensions else self.extensions


def has_content(letter: Letter) -> bool:
    """False for a message that is one text and nothing else."""
    structure = letter.structure
    return bool(structure.discoveries) or not structure.is_text


async def check_content(letter: Letter, settings: ContentSettings) -> Found:
    """``content.attachment``, ``content.couldnt-tell``, or fine."""
    structure = letter.structure
    told: dict[str, Finding] = {}
    for finding in _refused(letter, settings):
        told.setdefault(finding.text, finding)
        if len(told) == MAX_TOLD:
            break
    findings = list(told.values())
    rest = [one for one in structure.discoveries if one.what in (What.ENCRYPTED, What.UNREADABLE)]
    for one in rest[:MAX_TOLD]:
        findings += _in_doubt(one, settings)
    if not findings:
        text = f"{len(structure.parts)} parts, none of a kind that is not taken"
        return Found((Finding("content.attachment", Result.PASS, text),))
    return Found(tuple(findings))


def _refused(letter: Letter, settings: ContentSettings) -> Iterator[Finding]:
    for one in letter.structure.discoveries:
        if one.what is What.WATCHED:
            why = _by_name(one.name, settings)
        elif one.what is What.PROGRAM and settings.programs:
            why = f"is a {one.detail}"
        elif one.what is What.ENCRYPTED and settings.encrypted:
            why = "is encrypted: nobody on the way can look into it"
        else:
            continue
        if why:
            yield Finding("content.attachment", Result.FAIL, f"{_named(one)} {why}")
    for kind in sorted(letter.structure.types & settings.types):
        text = f"an attachment is of a kind that is not taken ({kind})"
        yield Finding("content.attachment", Result.FAIL, text)


def _by_name(name: str, settings: ContentSettings) -> str:
    """What is wrong with a file called so; empty for nothing."""
    doubles = {end for start, end in last_two(name) if start in DOCUMENTS and end in PROGRAMS}
    if doubles and settings.double_extensions:
        return "is a program that is named like a document"
    found = extensions(name) & settings.extensions
    if found & PROGRAMS:
        return "is a program"
    return f"is of a kind that is not taken (.{min(found)})" if found else ""


def _in_doubt(one: Discovery, settings: ContentSettings) -> Iterator[Finding]:
    if one.what is What.UNREADABLE:
        text = f"{_named(one)} could not be looked into: {one.detail}"
        # It might be anything; naming itself alone keeps it from being taken for a fail.
        name = "content.couldnt-tell"
        yield Finding(name, Result.COULDNT_TELL, text, Whose.SENDER, could_be=(name,))
    elif not settings.encrypted:
        text = f"{_named(one)} is encrypted; only the names in it could be seen, if at all"
        yield Finding("content.attachment", Result.NOTE, text)


def _named(one: Discovery) -> str:
    """``the attachment "a.exe"``, ``"a.exe" in the attachment "b.zip"``: one line, not long."""
    if not one.within:
        return f"the attachment {_shown(one.name)}"
    return f"{_shown(one.name)} in the attachment {_shown(one.within[0])}"


def _shown(name: str) -> str:
    """A name in quotes without anything that could pass for more than a name."""
    clean = clean_text(name.replace('"', "'"))
    if len(clean) > _MAX_NAME_CHARS:
        # What it ends in is the reason.
        clean = f"{clean[: _MAX_NAME_CHARS // 2]}…{clean[-_MAX_NAME_CHARS // 2 :]}"
    return f'"{clean}"' if clean else "without a name"
