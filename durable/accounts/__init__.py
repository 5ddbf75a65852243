"""Log-ins that are limited and written down, passwords, a second factor, a recent log-in."""
