"""From a decision to an outcome: pricing, sending, waiting, reconciling, undoing, and the money it came to."""

import logging

# Without it Python prints every escalation of a simulation to stderr where nobody has set up logging.
logging.getLogger("arbkit").addHandler(logging.NullHandler())
