"""The append-only record of conversations, findings, verdicts, attempts and changes."""
