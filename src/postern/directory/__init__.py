"""Who lives here: domains, mailboxes, aliases, credentials."""
