"""What the probe and the count agree on."""

import os

#: Whether the stack runs with the documentation's settings instead of the project's.
BASELINE = os.environ.get("CHAOS_BASELINE") == "true"
#: Tasks of a key that run at once.
AT_ONCE = 2
