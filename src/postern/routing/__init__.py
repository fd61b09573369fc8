"""Where a recipient is: local, a gateway, or which mail hosts, and in which order."""
