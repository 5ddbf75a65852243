"""Errors that end the start with a line for a person."""


class StackError(Exception):
    """The stack can't start or go on; the message names what to change or type."""
