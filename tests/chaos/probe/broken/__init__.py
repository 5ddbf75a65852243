"""An app with a migration that fails halfway."""
