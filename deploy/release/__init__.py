"""A release: its version, its changes, its list of tasks, its tag."""
