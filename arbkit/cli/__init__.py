"""The command line: `app` holds every command; `arbkit --help` lists them."""

from arbkit.cli import operate, research  # each adds its commands to the app
from arbkit.cli.base import app

__all__ = ["app", "operate", "research"]
