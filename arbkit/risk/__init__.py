"""From an opportunity to an allowed size, or to the limit that forbids it."""
