"""`python -m arbkit` is the `arbkit` command."""

from arbkit.cli import main

main()
