"""The web role's worker with a few seconds where the shipped one has a minute, and less room."""

from durable.web.server import limits
from durable.web.server.worker import Worker as Worker

limits.GRACE = 2.0
limits.STUCK = limits.LINGER = 1.0
limits.RECEIVED = 4 * 1024 * 1024
