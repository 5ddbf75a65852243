"""Whether the stack runs with the documentation's settings instead of the project's."""

import os

BASELINE = os.environ.get("CHAOS_BASELINE") == "true"
