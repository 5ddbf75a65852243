"""The whole stack as plain processes: `make run`. README.md beside this file says how."""
