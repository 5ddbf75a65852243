"""Tasks as a contract: calls that were written by one version are run by the next."""
