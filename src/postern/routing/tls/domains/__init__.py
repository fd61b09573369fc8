"""What the site asks of TLS for domains, and which addresses serve a domain that asks itself."""
