"""Day files in SQLite: the only place of this room that knows SQL."""
