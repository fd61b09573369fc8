"""Migrations of ``site.db``; run by ``postern.runtime.database.migrate``, never by hand."""
