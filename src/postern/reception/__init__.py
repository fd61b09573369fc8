"""From connection to "250": listener, session, STARTTLS, AUTH, submission."""
