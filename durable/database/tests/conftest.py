"""What the tests of this folder share with others."""

from tests.cable import database

__all__ = ["database"]
