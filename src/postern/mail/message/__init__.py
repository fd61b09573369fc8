"""Messages as the bytes they came as: headers found, read and edited by range, never re-written."""
