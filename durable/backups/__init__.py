"""Which backups there are, and which of them are proven; written by deploy/backup/record.sql."""
