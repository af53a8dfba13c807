"""`python -m arbkit` is the `arbkit` command."""

from arbkit.cli import app

app(prog_name="arbkit")
