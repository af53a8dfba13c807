"""Draw the README's picture from the tape that ships: `make picture` (needs chromium)."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import arbkit as ak
from arbkit.history.shipped import shipped

FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking --hide-scrollbars --force-device-scale-factor=1.5"
LINE = "synthetic flow: shows method, not market truth"


def main(target: Path) -> None:
    """Compare on the shipped tape and save two of its figures side by side."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("docs/picture.py needs chromium on the PATH")
    tape = ak.read_tape(shipped("synthetic_two_market"))
    figures = ak.compare(tape, ak.baskets(tape), latencies_ms=(20.0, 100.0, 250.0)).figures
    parts = [
        figures[name]
        .figure.update_layout(width=620, height=430)
        .to_html(full_html=False, include_plotlyjs=first, config={"displayModeBar": False})
        for name, first in (("fill_rate", True), ("shortfall", False))
    ]
    page = f"<body style='margin:8px;font:14px sans-serif;color:#555'>{LINE}<div style='display:flex'>{''.join(parts)}</div>"
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "picture.html"
        html.write_text(page, encoding="utf-8")
        command = [chromium, *FLAGS.split(), f"--user-data-dir={folder}/profile", "--window-size=1260,470"]
        command += ["--virtual-time-budget=8000", f"--screenshot={target}", html.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


if __name__ == "__main__":
    main(Path(__file__).with_name("comparison.png"))
