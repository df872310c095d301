import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from launcher.launching.live import LiveView, Overview, PlainView, Row, describe, make_view
from launcher.trials.progress import Progress
from launcher.words import duration, percent

TRAINING = Progress("train", 50, 200, 12.34, 0.4567, 10.0, 1.0)
LONG_ID = "student_oracle_teacher-carla_camvid-n305-s0-0123456789ab"
LONG = Progress("train", 123_456, 250_000, 1234.56, 0.4567, 170.0, 1.0)
OVERVIEW = Overview(3, 8, [Row("joint-n10", TRAINING), Row("joint-n40", Progress(), elsewhere=True)], 75.0)


def console(terminal: bool, width: int = 120) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)


def printed(view: PlainView | LiveView, where: Console, overview: Overview = OVERVIEW) -> str:
    with view:
        view.say("started [joint-n10]", "green")
        view.show(overview)
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_percent() -> None:
    assert (percent(0.65347), percent(None)) == ("65.35", "-")


def test_the_view_follows_the_output() -> None:
    assert isinstance(make_view(console(terminal=True)), LiveView)
    assert isinstance(make_view(console(terminal=False)), PlainView)


def test_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.launching.live.PLAIN_INTERVAL_S", 0.0)
    where = console(terminal=False)
    assert printed(PlainView(where), where).splitlines() == [
        "started [joint-n10]",
        "  joint-n10: step 50/200, 12.3 images/s, mIoU 45.67, 15 s left",
        "  joint-n40: running elsewhere, starting",
        "  3 of 8 trials finished, 1 running, 1 elsewhere, about 1 min 15 s left",
    ]


@pytest.mark.parametrize(("phase", "word"), [("evaluate", "evaluating"), ("quality", "measuring quality")])
def test_what_a_trial_does_beside_training_is_said(phase: str, word: str) -> None:
    progress = replace(TRAINING, phase=phase)
    assert describe(Row("one", progress)) == f"step 50/200, {word}, 12.3 images/s, mIoU 45.67"


def test_plain_progress_waits_for_its_interval() -> None:
    where = console(terminal=False)
    assert printed(PlainView(where), where) == "started [joint-n10]\n"


def test_live_table() -> None:
    where = console(terminal=True)
    text = printed(LiveView(where), where)
    for part in (
        "started [joint-n10]",
        "50/200",
        "12.3",
        "45.67",
        "15 s",
        "elsewhere",
        "3 of 8 trials",
    ):
        assert part in text


HEADER = "  step  images/s   mIoU         left"
NUMBERS = "  123456/250000    1234.6  45.67"


def table_lines(rows: list[Row], width: int) -> list[str]:
    """The live table as it was drawn last, without the sum below it."""
    where = console(terminal=True, width=width)
    shown = printed(LiveView(where), where, Overview(0, len(rows), rows))
    lines = Text.from_ansi(shown).plain.splitlines()
    assert max(map(len, lines)) <= width
    header = max(number for number, line in enumerate(lines) if line.endswith(HEADER))
    return [line.rstrip() for line in lines[header + 1 :] if not line.startswith("0 of ")]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_long_id_has_a_line_of_its_own(width: int) -> None:
    ids = [f"{LONG_ID[:-1]}{number}" for number in range(2)]
    lines = table_lines([Row(id, LONG) for id in ids], width)
    assert lines[::2] == ids
    for line in lines[1::2]:
        assert line.endswith(f"{NUMBERS}  12 min 24 s") and "━━━━━╸" in line


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize(
    ("phase", "word"), [("start", "starting"), ("evaluate", "evaluating"), ("quality", "quality")]
)
def test_what_one_trial_does_costs_no_trial_a_number(phase: str, word: str, width: int) -> None:
    rows = [Row(LONG_ID, LONG), Row(LONG_ID, replace(LONG, phase=phase)), Row(LONG_ID, LONG, elsewhere=True)]
    trains, beside, elsewhere = [line for line in table_lines(rows, width) if "45.67" in line]
    assert trains.endswith(f"{NUMBERS}  12 min 24 s")
    assert beside.endswith(f"{NUMBERS}            -") and f" {word} " in beside
    assert elsewhere.endswith(f"{NUMBERS}  12 min 24 s") and " elsewhere " in elsewhere


def test_a_short_id_stands_beside_its_numbers_on_eighty_columns() -> None:
    lines = table_lines([Row("joint-n10", LONG), Row(LONG_ID, LONG)], 80)
    assert [line.split()[0] for line in lines[:2]] == ["joint-n10", LONG_ID]
    assert len(lines) == 3
