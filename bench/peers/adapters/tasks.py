"""The module that Huey's worker imports from each application."""

from __future__ import annotations

from bench.peers.adapters import huey as huey
