"""Profiles a CSV file in parts: a partial profile of each chunk, merged exactly.

Pure functions: nothing here knows of Django, of tasks or of the database.
"""

from .chunk import profile_chunk
from .codec import dump, load
from .merged import Merged

__all__ = ["Merged", "dump", "load", "profile_chunk"]
