"""The parts, each a module with ``lines()``: what it yields is asked anew each time."""
