"""Units, nouns, errors, settings and ports: what every other folder may use, and nothing that does I/O."""
