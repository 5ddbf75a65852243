"""The database's schema: brought up to date by one process at a time, waited for by the others."""
