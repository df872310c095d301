"""The report for people: tables on the terminal, and the same as Markdown beside the pictures."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from segda_core.quality.analyse import LEAST_ROWS
from segda_core.quality.catalogue import FULL_METRICS

Report = dict[str, Any]

SIGNED = "Correlations carry the metric's sign: positive is as hoped, whether high or low values are better."

ORIGIN = {
    "combined": "mean of signed z-scores of the metrics of each kind",
    "ridge": "not label-free: its weights are learnt from the mIoU of the other methods",
}


class Sheet(NamedTuple):
    """One table."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def print_report(report: Report, console: Console) -> None:
    """Tables, then what to know about them."""
    for sheet in sheets(report):
        table = Table(*sheet.columns, title=sheet.title, title_justify="left")
        table.columns[0].no_wrap = True
        for column in table.columns[1:]:
            column.justify, column.overflow = "right", "fold"
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
    for note in notes(report):
        console.print(f"- {note}", highlight=False)


def markdown(report: Report, pictures: Sequence[str]) -> str:
    """index.md: the same tables and notes, then what each metric is, with its picture."""
    parts = [f"# Label-free quality: {report['sweep']}", "\n".join(f"- {note}" for note in notes(report))]
    for sheet in sheets(report):
        head = [sheet.columns, ["---"] * len(sheet.columns)]
        lines = ["| " + " | ".join(cells) + " |" for cells in (*head, *sheet.rows)]
        parts.append(f"## {sheet.title}\n\n" + "\n".join(lines))
    for name in pictures:
        parts.append(f"## {name}\n\n{FULL_METRICS[name].meaning}\n\n![{name} against mIoU]({name}.png)")
    return "\n\n".join(part for part in parts if part) + "\n"


def notes(report: Report) -> list[str]:
    """What to know before reading a number."""
    lines = [f"{report['runs']} runs, {report['rows']} checkpoints. {SIGNED}"]
    if report["runs"] < LEAST_ROWS:
        lines.append("Too few runs for correlations.")
    else:
        lines.append(f"{_needed(report)} Intervals: 95 %, runs drawn again.")
    lines.append(
        "Regret, random and last are over the rows that have the metric: null rows are no candidates."
    )
    lines += [f"{name}: {meaning}." for name, meaning in ORIGIN.items() if name in report["across"]]
    return [*lines, *(f"{note}." for note in report["notes"])]


def _needed(report: Report) -> str:
    """From which rho on a row may be more than chance."""
    critical = report["critical_rho"]
    if critical is None:
        return f"With n = {report['runs']}, not even |rho| = 1 has p < .05 (two-sided)."
    return (
        f"With n = {report['runs']}, |rho| must reach {critical:.2f} for p < .05 "
        "(two-sided, one metric alone); rows with a smaller n need more."
    )


def sheets(report: Report) -> Iterator[Sheet]:
    """Every table that has rows."""
    found = [_across(report), _over_checkpoints(report)]
    found.append(_selection("Choosing a run by its last checkpoint", report["selection"]))
    over_all = report["selection_over_checkpoints"] or {}
    found.append(_selection("Choosing a checkpoint of any run", over_all, last=True))
    return (sheet for sheet in found if sheet.rows)


def _across(report: Report) -> Sheet:
    columns = ["metric", "n", "Spearman", "95 %", "Kendall tau_b", "95 %", "p", "p (Holm)"]
    rows = [
        [
            name,
            str(entry["n"]),
            _signed(entry["rho"]),
            _interval(entry["rho_ci"]),
            _signed(entry["tau"]),
            _interval(entry["tau_ci"]),
            _p(entry["p"]),
            _p(entry.get("p_holm")),
        ]
        for name, entry in report["across"].items()
    ]
    return Sheet("Across runs, last checkpoints: does the metric follow mIoU?", columns, rows)


def _over_checkpoints(report: Report) -> Sheet:
    columns = ["metric", "runs", "within runs", "95 %", "rows", "pooled", "95 %", "pooled, step held"]
    rows = []
    for name, within in (report["within"] or {}).items():
        pooled = report["pooled"][name]
        inner = [str(within["n"]), _signed(within["rho"]), _interval(within["rho_ci"])]
        outer = [str(pooled["n"]), _signed(pooled["rho"]), _interval(pooled["rho_ci"])]
        rows.append([name, *inner, *outer, _signed(pooled["rho_given_step"])])
    return Sheet("Over checkpoints (Spearman)", columns, rows)


def _selection(title: str, choices: dict[str, Any], last: bool = False) -> Sheet:
    """The oracle's regret is 0; `last` is a column only where there are earlier checkpoints."""
    columns = ["metric", "chosen", "mIoU %", "regret", "95 %", "random", *(["last"] if last else [])]
    rows = []
    for name, choice in choices.items():
        chosen = f"{choice['run']} @ {choice['step']}" if last else choice["run"]
        if choice["num_more"]:
            chosen += f" and {choice['num_more']} more"
        bounds = "-" if choice["regret_ci"] is None else " to ".join(map(_percent, choice["regret_ci"]))
        blind = [choice["random_regret"], *([choice["last_regret"]] if last else [])]
        own = [name, chosen, _percent(choice["miou"]), _percent(choice["regret"]), bounds]
        rows.append([*own, *(_percent(value) for value in blind)])
    return Sheet(f"{title} (regret in points of mIoU; oracle 0)", columns, rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:+.2f} to {bounds[1]:+.2f}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "< .001"
