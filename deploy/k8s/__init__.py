"""Code that the scripts for a cluster share."""
