"""The table ``[content]``: attachments, and how far messages are looked into."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

MIB = 1024 * 1024

Extension = Annotated[str, Meta(pattern=r"^\.?[^./\\\s]{1,20}$")]
MediaType = Annotated[str, Meta(pattern=r"^[^\s/]+/[^\s/]+$")]


class Content(Struct, frozen=True, forbid_unknown_fields=True):
    """Which attachments are not taken, and how far messages are looked into for them."""

    forbid_extensions: Annotated[
        tuple[Extension, ...],
        Meta(description='file name extensions beyond those that run when opened: `"docm"`'),
    ] = ()
    allow_extensions: Annotated[
        tuple[Extension, ...],
        Meta(description="of those that are not taken (see `docs/checks.md`): these are"),
    ] = ()
    forbid_types: Annotated[
        tuple[MediaType, ...], Meta(description='media types beyond ours: `"application/x-sh"`')
    ] = ()
    allow_types: Annotated[
        tuple[MediaType, ...], Meta(description="of the media types not taken: these are")
    ] = ()
    programs: Annotated[
        bool, Meta(description="nor what is a program by its first octets, whatever its name")
    ] = True
    double_extensions: Annotated[
        bool, Meta(description="nor `invoice.pdf.js`, even where `js` is taken")
    ] = True
    encrypted_archives: Annotated[
        Literal["note", "fail"],
        Meta(
            description="`fail`: encrypted archives are not taken; the names in a zip show anyway"
        ),
    ] = "note"
    archive_depth: Annotated[
        int, Meta(ge=0, le=20, description="archives inside archives that are looked into")
    ] = 5
    archive_bytes: Annotated[
        int, Meta(ge=0, description="a larger archive is not looked into any further, and told so")
    ] = 50 * MIB
    inflated_bytes: Annotated[
        int,
        Meta(ge=0, description="what archives inside archives may come to, in all of one message"),
    ] = 32 * MIB
    depth: Annotated[
        int, Meta(ge=5, le=200, description="parts inside parts; deeper breaks `standards.header`")
    ] = 50
    parts: Annotated[
        int, Meta(ge=100, description="parts of one message; more breaks `standards.header`")
    ] = 2000
