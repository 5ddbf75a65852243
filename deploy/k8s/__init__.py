"""What the scripts for a cluster share."""
