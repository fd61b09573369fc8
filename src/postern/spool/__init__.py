"""Accepted mail that is not finished: what "250" promised.

One SQLite file and one writer thread for each worker. ``writer`` gathers what the loop asks for
into one transaction (group commit), ``store`` holds the SQL, ``body`` the large messages' files,
``space`` watches the disk, ``adopt`` takes over what another worker or a damaged file left.
"""
