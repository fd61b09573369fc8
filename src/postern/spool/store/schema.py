"""The tables of a spool's file, and the statements that every part of its SQL shares."""

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
  id INTEGER PRIMARY KEY,
  accepted_at REAL NOT NULL,
  expires_at REAL NOT NULL,
  size INTEGER NOT NULL,
  envelope BLOB NOT NULL,
  conversation BLOB NOT NULL,
  body BLOB                       -- NULL: in a file of its own
);
CREATE TABLE IF NOT EXISTS delivery (
  message INTEGER NOT NULL,
  n INTEGER NOT NULL,
  state INTEGER NOT NULL,
  due REAL NOT NULL,
  grp TEXT NOT NULL,
  tries INTEGER NOT NULL,
  record BLOB NOT NULL,
  PRIMARY KEY (message, n)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (grp, due) WHERE state = 1;
CREATE INDEX IF NOT EXISTS delivery_held ON delivery (due) WHERE state = 2;
"""
INSERT_MESSAGE = "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?)"
INSERT_DELIVERY = "INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?)"
READ_MESSAGE = (
    "SELECT id, accepted_at, expires_at, size, envelope, conversation, body "
    "FROM message WHERE id = ?"
)
READ_DELIVERIES = (
    "SELECT n, state, due, grp, tries, record FROM delivery WHERE message = ? ORDER BY n"
)
