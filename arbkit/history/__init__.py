"""Recordings in, columns out: the tape, its market table, its quality, and the importers that fill it."""
