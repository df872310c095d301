"""The leaderboard's words: the cells and footnotes that the terminal and Markdown show alike."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean

from launcher.leaderboard.rank import ABOVE, Entry, Section, state_word
from launcher.leaderboard.rows import Row, Table
from launcher.words import percent
from segda_core.classes import RARE_CLASSES

RARE = "rare"
"""Heading of the mean over the rare classes."""


def score(entry: Entry) -> str:
    """Mean ± std over seeds; in parentheses where the row is not ranked."""
    row = entry.row
    if row.mean is None:
        return "-"
    return with_spread(row) if entry.rank else f"({with_spread(row)})"


def with_spread(row: Row) -> str:
    """Mean ± std over seeds."""
    return percent(row.mean) + ("" if row.std is None else f" ± {percent(row.std)}")


def size(row: Row) -> str:
    """Target images the trials may open themselves."""
    if row.own_size is None:
        return "-"
    counted = row.own_size == "all" and row.results
    return f"all ({row.results[0].target_images})" if counted else str(row.own_size)


def labels(row: Row) -> str:
    """Target images whose labels were used; a dash where no target label was."""
    if row.labelled is not None:
        return str(row.labelled)
    return "yes" if row.uses_target_labels else "-"


def several_protocols(sections: Sequence[Section]) -> bool:
    """Whether rows have to say their protocol."""
    return len({section.protocol for section in sections}) > 1


def title(table: Table, sections: Sequence[Section]) -> str:
    """What the numbers of a table are."""
    if not sections:
        return table.data
    protocol = "" if several_protocols(sections) else f", protocol {sections[0].protocol}"
    sets = {frozenset(entry.row.classes) for section in sections for entry in section.entries}
    over = f"({len(table.classes)} classes)" if len(sets) == 1 else "(each protocol's classes)"
    return f"{table.data}: mIoU in % {over}, mean ± sample std over seeds{protocol}"


def headers(table: Table, sections: Sequence[Section]) -> list[str]:
    """Column names, as many as `cells` gives."""
    protocol = ["protocol"] if several_protocols(sections) else []
    return [
        "rank",
        "method",
        "target images",
        "target labels",
        *table.axes,
        "mIoU",
        "seeds",
        *protocol,
        "notes",
    ]


def cells(entry: Entry, section: Section, sections: Sequence[Section]) -> list[str]:
    """One line of the table."""
    row = entry.row
    protocol = [section.protocol] if several_protocols(sections) else []
    seeds = f"{len(row.counted)}/{row.planned}"
    rank = str(entry.rank) if entry.rank else "-"
    told = [rank, row.method, size(row), labels(row), *row.axes.values(), score(entry), seeds]
    return [*told, *protocol, ", ".join(entry.marks)]


def name(row: Row, sections: Sequence[Section]) -> str:
    """A row in a few words, for tables where it is one cell."""
    words = [row.method, *row.axes.values(), *([] if row.own_size is None else [str(row.own_size)])]
    if some := _some_labels(row):
        words.append(f"({some} labels)")
    if row.size != row.own_size:
        words.append(f"({row.size} {ABOVE})")
    if several_protocols(sections):
        words.append(
            next(each.protocol for each in sections if any(entry.row is row for entry in each.entries))
        )
    return " ".join(words)


def _some_labels(row: Row) -> str:
    """How many target images come with labels where not all that are opened do."""
    labelled = row.records[0].config.target.labelled
    return "" if labelled is None or labelled.size == row.own_size else str(labelled.size)


def class_columns(table: Table) -> list[str]:
    """Headings of the table per class: the mean over rare classes where there are any, and every class."""
    return [*([RARE] if rare_classes(table) else []), *table.classes]


def class_cell(row: Row, column: str, table: Table) -> str:
    """IoU of a class, or the mean of the rare ones."""
    if column != RARE:
        return percent(row.iou(column))
    if not set(rare_classes(table)) <= set(row.classes):
        return percent(None)
    scores = [score for name in rare_classes(table) if (score := row.iou(name)) is not None]
    return percent(fmean(scores) if scores else None)


def rare_classes(table: Table) -> list[str]:
    """Those of `RARE_CLASSES` that the table counts."""
    return [name for name in RARE_CLASSES if name in table.classes]


def class_note(table: Table) -> list[str]:
    """What the mean over rare classes is."""
    names = rare_classes(table)
    return [f"{RARE}: mean of {', '.join(names)}."] if names else []


def distinct(sections: Sequence[Section]) -> list[Row]:
    """Every row once, in the order of its best section."""
    return list({id(entry.row): entry.row for section in sections for entry in section.entries}.values())


def class_lines(table: Table, sections: Sequence[Section]) -> list[list[str]]:
    """The table per class: of each row that has scores its name, and a cell for each of `class_columns`."""
    columns = class_columns(table)
    rows = [row for row in distinct(sections) if row.results]
    return [[name(row, sections), *(class_cell(row, column, table) for column in columns)] for row in rows]


def footnotes(table: Table, sections: Sequence[Section], *, per_class: bool) -> list[str]:
    """How far the plan is, how scores grow with the target size, and the meaning of words that appear."""
    entries = [entry for section in sections for entry in section.entries]
    notes = [coverage(table), *growth(sections)]
    if any(entry.rank is None and entry.row.mean is not None for entry in entries):
        notes.append("(...): not ranked; the mean is over the seeds there are, or over stale trials.")
    if any(mark == "other seeds" for entry in entries for mark in entry.marks):
        notes.append("other seeds: finished, but over other seeds than the rows it would be compared with.")
    if any(mark.endswith(ABOVE) for entry in entries for mark in entry.marks):
        notes.append(f"{ABOVE}: by a trial this one was made from; compared at that number of target images.")
    if len({section.size for section in sections}) > 1 and any(entry.row.size is None for entry in entries):
        notes.append("Rows without target images take part in the ranking of every size.")
    return [*notes, *(class_note(table) if per_class else [])]


def coverage(table: Table) -> str:
    """Finished of planned trials and the states of the others."""
    records = table.records
    done = sum(record.counted for record in records)
    words = Counter(state_word(record) for record in records if not record.counted)
    words["missing"] += len(table.unprepared)
    others = ", ".join(f"{count} {word}" for word, count in words.items() if count)
    total = len(records) + len(table.unprepared)
    return f"{done} of {total} trials done" + (f" ({others})." if others else ".")


def families(sections: Sequence[Section]) -> list[list[Row]]:
    """Ranked rows of one protocol that differ by their target images alone, ascending."""
    found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for section in sections:
        for entry in section.entries:
            if entry.rank and entry.row.size is not None:
                row = entry.row
                found[(section.protocol, row.method, _some_labels(row), *row.axes.values())].append(row)
    return list(found.values())


def grows(family: Sequence[Row]) -> bool:
    """Whether it has several target sizes, and one score at each."""
    return len({row.size for row in family}) == len(family) > 1


def family_name(family: Sequence[Row]) -> str:
    """What its rows share."""
    words = [family[0].method, *family[0].axes.values()]
    if some := _some_labels(family[0]):
        words.append(f"({some} labels)")
    return " ".join(words)


def growth(sections: Sequence[Section]) -> list[str]:
    """For each method complete at several sizes, its scores by ascending target size."""
    lines = []
    for rows in families(sections):
        if grows(rows):
            scores = " → ".join(percent(row.mean) for row in rows)
            sizes = " → ".join(str(row.size) for row in rows)
            label = family_name(rows)
            last, first = (
                round(100 * (row.mean or 0.0), 2) for row in (rows[-1], rows[0])
            )  # as they are shown
            gain = round(last - first, 2) + 0.0  # never -0.00
            lines.append(f"{label}: {scores} with {sizes} target images ({gain:+.2f}).")
    return lines
