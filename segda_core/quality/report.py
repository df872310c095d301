"""Sets label-free quality beside true mIoU: `python -m segda_core.quality.report`, a request on stdin.

The request names the trials that count, as the launcher knows; the report goes to runs/SWEEP/quality/:
report.json, index.md and one picture for each metric.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from segda_core.command import usual_errors
from segda_core.files import write_json, write_text
from segda_core.process import end_on_signals
from segda_core.quality.analyse import analyse
from segda_core.quality.plots import plot_metrics
from segda_core.quality.read_rows import Asked, read_rows
from segda_core.quality.render import markdown, print_report

SCHEMA = 1
"""Version of report.json's form."""


def report(request: dict[str, Any]) -> dict[str, Any]:
    """Analyse the trials of `{sweep, folder, full, trials: [{path, method}]}`; write the folder's files."""
    trials = [Asked(Path(trial["path"]), trial["method"]) for trial in request["trials"]]
    read = read_rows(trials, request["full"])
    folder = Path(request["folder"])
    content = {
        "schema": SCHEMA,
        "sweep": request["sweep"],
        "set": "full" if request["full"] else "default",
        "notes": read.notes,
        **analyse(read.rows),
    }
    pictures = plot_metrics(read.rows, content["across"], folder)
    write_json(folder / "report.json", content)
    write_text(folder / "index.md", markdown(content, pictures))
    return content


def main() -> None:
    """Report on stdin's request; without --json as tables."""
    parser = argparse.ArgumentParser(prog="python -m segda_core.quality.report", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    request = json.load(sys.stdin)
    with usual_errors():
        content = report(request)
        if arguments.json:
            print(json.dumps(content, indent=1))
        else:
            print_report(content, Console())
            print(f"pictures and index.md in {request['folder']}")


if __name__ == "__main__":
    end_on_signals()
    main()
