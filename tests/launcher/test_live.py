import io
from dataclasses import replace

import pytest
from rich.console import Console

from launcher.live import LiveView, Overview, PlainView, Row, describe, duration, make_view, percent
from launcher.progress import Progress

TRAINING = Progress("train", 50, 200, 12.34, 0.4567, 10.0, 1.0)
OVERVIEW = Overview(3, 8, [Row("joint-n10", TRAINING), Row("joint-n40", Progress(), elsewhere=True)], 75.0)


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)


def printed(view: PlainView | LiveView, where: Console) -> str:
    with view:
        view.say("started [joint-n10]", "green")
        view.show(OVERVIEW)
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
    monkeypatch.setattr("launcher.live.PLAIN_INTERVAL_S", 0.0)
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
        "running elsewhere",
        "3 of 8 trials",
    ):
        assert part in text
