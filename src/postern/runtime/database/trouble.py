"""What a database can fail with, free of any library's names, so that every room may catch it."""


class DatabaseTroubleError(Exception):
    """The database could not answer: disk, lock or damage. Temporary by nature: reply 4xx."""


class DatabaseTooNewError(DatabaseTroubleError):
    """The database was written by a newer Postern than this one; nothing was changed."""
