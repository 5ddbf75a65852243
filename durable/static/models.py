"""The static files of the last versions, one row a file."""

from __future__ import annotations

from django.db import models


class File(models.Model):
    """A file whose name holds its content's hash; the migration's role alone writes it."""

    name = models.CharField(max_length=500, primary_key=True)
    content = models.BinaryField()
    replaced_at = models.DateTimeField(
        null=True, help_text="when the last version that has it was replaced"
    )

    def __str__(self) -> str:
        return self.name
