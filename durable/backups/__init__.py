"""The backups that there are, and those that are proven; written by deploy/backup/record.sql."""
