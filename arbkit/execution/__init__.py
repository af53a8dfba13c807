"""From a decision to an outcome: pricing, sending, waiting, reconciling, undoing, and the money it came to."""
