"""How static files are named and stored by `collectstatic`."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ModuleStaticFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Hashed names and compressed copies, in the ``import`` statements of ES modules too.

    Without it a module imports its neighbors by their plain names, and a browser that kept an
    old one in its cache would mix two releases.
    """

    support_js_module_import_aggregation = True
