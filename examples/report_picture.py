"""README's picture: the head, the results and the nearest neighbours of a run's report.

python -m dim_tf.main --flagfile=flags/digits.cfg
python examples/report_picture.py --report=runs/digits/report.html --out=docs/digits_report.png

It needs Chromium, which is shown the report without its other sections.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

SECTIONS = ("results", "nearest-neighbours")
_SECTION = re.compile(r'<section id="([\w-]+)">.*?</section>\n?', re.DOTALL)
_CONTENTS = re.compile(r"<nav .*?</nav>\n?", re.DOTALL)


def shortened(report: str) -> str:
    """The HTML of a report with its head and `SECTIONS` alone."""
    page = _CONTENTS.sub("", report, count=1)
    return _SECTION.sub(lambda match: match[0] if match[1] in SECTIONS else "", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", type=Path, required=True, help="report.html of a run.")
    parser.add_argument("--out", type=Path, required=True, help="The PNG.")
    parser.add_argument("--height", type=int, default=1222, help="Pixels; the width is 1060.")
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if browser is None:
        parser.exit(2, "error: there is no chromium on the PATH; install it\n")
    page = shortened(arguments.report.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.html")
        file.write_text(page, encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--hide-scrollbars"]
        command += [f"--window-size=1060,{arguments.height}", f"--user-data-dir={folder}/profile"]
        command += [f"--screenshot={arguments.out.resolve()}", file.as_uri()]
        subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
