"""What several test files share."""

from .containers import clone, image, stack

__all__ = ["clone", "image", "stack"]
