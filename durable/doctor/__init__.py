"""The state of a deployment in one table, for people, for programs, and for pages."""
