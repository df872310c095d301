"""The leaderboard as an HTML page: what it holds, what its pictures draw, and how a browser shows it."""

import io
from html.parser import HTMLParser
from pathlib import Path
from urllib.request import url2pathname

import pytest
from browser import chromium
from hand_made_runs import Board
from PIL import Image
from rich.console import Console

from launcher.leaderboard import see, show
from launcher.leaderboard.chart import BOTTOM, LEFT, MOST_CURVES, RIGHT, TOP, Chart, charts
from launcher.leaderboard.rank import rank
from launcher.leaderboard.write import write_leaderboards
from segda_core.files import write_text
from segda_core.trials.layout import TrialFiles

SCORES = {10: (0.22, 0.24), 40: (0.30, 0.30), 160: (0.41, 0.43)}


class Elements(HTMLParser):
    """Every element's attributes and own text, by tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, list[tuple[dict[str, str | None], str]]] = {}
        self._last = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.setdefault(tag, []).append((dict(attrs), ""))
        self._last = tag

    def handle_data(self, data: str) -> None:
        if self._last:
            attributes, text = self.found[self._last][-1]
            self.found[self._last][-1] = (attributes, text + data)

    def texts(self, tag: str) -> list[str]:
        return [text.strip() for _, text in self.found.get(tag, [])]

    def values(self, tag: str, attribute: str) -> list[str | None]:
        return [attributes.get(attribute) for attributes, _ in self.found.get(tag, [])]


@pytest.fixture
def ladder(board: Board) -> Board:
    """joint at three sizes and source_only over two seeds; mrnet lacks a seed at 40."""
    for seed in (0, 1):
        board.trial(0.20 + 0.02 * seed, seed=seed)
        for size, scores in SCORES.items():
            board.trial(scores[seed], seed=seed, method="joint", target__subset__size=size)
    board.trial(0.5, seed=0, method="mrnet", target__subset__size=40)
    board.trial(seed=1, method="mrnet", target__subset__size=40)
    return board


def page_of(board: Board) -> str:
    console = Console(file=io.StringIO(), width=140)
    show(see([board.sweep], board.runs), console, "html")
    text = console.file.getvalue()
    assert isinstance(text, str)
    return text


def charts_of(board: Board) -> list[Chart]:
    (table,) = see([board.sweep], board.runs).tables
    return charts(rank(table))


def score_at(chart: Chart, y: float) -> float:
    """In percent, by the first and the last number at the side."""
    low, high = chart.scores[0], chart.scores[-1]
    share = (y - low.at) / (high.at - low.at)
    return float(low.words) + share * (float(high.words) - float(low.words))


def preview(files: TrialFiles, attempt: int = 1) -> Path:
    path = files.attempt(attempt).preview
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20), "green").save(path)
    return path


def test_every_row_and_note_is_there_with_the_best_marked(ladder: Board) -> None:
    elements = Elements(page_of(ladder))
    assert {"30.00 ± 0.00", "42.00 ± 1.41", "21.00 ± 1.41", "(50.00)", "1/2"} <= {*elements.texts("td")}
    assert [kind for kind in elements.values("tr", "class") if kind] == [
        *["best", "ranked"] * 2, "apart", "best", "ranked"
    ]  # fmt: skip
    notes = elements.texts("li")
    assert "9 of 10 trials done (1 missing)." in notes
    assert "joint: 23.00 → 30.00 → 42.00 with 10 → 40 → 160 target images (+19.00)." in notes
    (title,) = elements.texts("h2")
    assert title == "streets: mIoU in % (19 classes), mean ± sample std over seeds, protocol single"


def test_text_of_users_is_no_markup(board: Board) -> None:
    for words in ("<b>one</b>", "two & three"):
        board.trial(0.3, parents={"words": words})
    board.plan_only('missing-"<i>"-s0-0123456789ab')
    text = page_of(board)
    assert "&lt;b&gt;one" in text and "two &amp; three" in text and "missing-&#34;&lt;i&gt;" in text
    assert "<b>" not in text and "<i>" not in text


def test_curves_are_where_the_scores_are(ladder: Board) -> None:
    (chart,) = charts_of(ladder)
    (joint,), (source_only,) = chart.curves, chart.across
    assert (joint.name, joint.joined, source_only.name) == ("joint", True, "source_only")
    assert [tick.words for tick in chart.sizes] == ["10", "40", "160"]
    assert [mark.x for mark in joint.marks] == [tick.at for tick in chart.sizes]
    assert [score_at(chart, mark.y) for mark in joint.marks] == pytest.approx([23, 30, 42])
    assert [score_at(chart, mark.high) for mark in joint.marks] == pytest.approx(
        [24.414, 30, 43.414], abs=1e-3
    )
    assert [score_at(chart, mark.low) for mark in joint.marks] == pytest.approx(
        [21.586, 30, 40.586], abs=1e-3
    )
    assert score_at(chart, source_only.marks[0].y) == pytest.approx(21)
    assert joint.marks[2].words == "joint, 160 target images: 42.00 ± 1.41"


@pytest.mark.parametrize("spread", [0, 1e-6, 0.004, 0.1, 0.9])
@pytest.mark.parametrize("low", [0, 0.05, 0.3333])
def test_all_scores_lie_in_the_field(board: Board, low: float, spread: float) -> None:
    for size, score in ((10, low), (40, low + spread), ("all", low + spread / 3)):
        board.trial(score, method="joint", target__subset__size=size)
    (chart,) = charts_of(board)
    places = [(mark.x, mark.y) for curve in chart.curves for mark in curve.marks]
    assert all(LEFT < x < RIGHT and TOP - 1e-6 <= y <= BOTTOM + 1e-6 for x, y in places)
    ticks = [tick.words for tick in chart.scores]
    assert 2 <= len(ticks) <= 7 and len({*ticks}) == len(ticks)
    assert [tick.words for tick in chart.sizes] == ["10", "40", "all"]


def test_one_size_draws_no_picture_and_each_protocol_its_own(board: Board) -> None:
    board.trial(0.3, method="joint", target__subset__size=10)
    assert charts_of(board) == []
    board.trial(0.4, method="joint", target__subset__size=40)
    for size in (10, 40):
        board.trial(0.5, method="joint", target__subset__size=size, evaluation__protocol="mirror")
    assert [chart.protocol for chart in charts_of(board)] == ["mirror", "single"]


@pytest.mark.parametrize(("count", "drawn"), [(MOST_CURVES, 1), (MOST_CURVES + 1, 0)])
def test_more_curves_than_can_be_followed_are_not_drawn(board: Board, count: int, drawn: int) -> None:
    for rate in range(count):
        for size in (10, 40):
            changes = {"optimizer": {"name": "sgd", "lr": 1e-3 * (rate + 1)}, "target__subset__size": size}
            board.trial(0.3, method="joint", point=("optimizer.lr", "target.subset.size"), **changes)
    assert [len(chart.curves) for chart in charts_of(board)] == [count] * drawn


def test_pictures_are_of_the_attempt_that_made_the_result(board: Board) -> None:
    files = board.trial(0.3, changes={"attempt": 2}, seed=1)
    preview(files)
    shown = preview(files, attempt=2)
    board.trial(0.4, method="joint", target__subset__size=10)
    (address,) = Elements(page_of(board)).values("img", "src")
    assert address is not None and address.startswith("file://")
    assert Path(url2pathname(address.removeprefix("file://"))) == shown.resolve()
    write_leaderboards(board.root)
    (address,) = Elements((board.root / "leaderboard.html").read_text("utf-8")).values("img", "src")
    assert address == f"{files.root.name}/attempts/2/preview.png"


def test_without_trials_the_page_says_so(board: Board) -> None:
    assert Elements(page_of(board)).texts("p") == ["No trials yet."]


@pytest.mark.processes
def test_a_browser_shows_it_whole(tmp_path: Path) -> None:
    """On a wide and on a narrow window, from a folder whose name needs quoting."""
    board = Board(tmp_path / "my runs #1 %")
    for seed in (0, 1):
        for size, scores in SCORES.items():
            preview(board.trial(scores[seed], seed=seed, method="joint", target__subset__size=size))
        preview(board.trial(0.2, seed=seed))
    write_leaderboards(board.root)
    write_text(tmp_path / "printed.html", page_of(board))
    with chromium(tmp_path / "profile") as browser:
        for page in (board.root / "leaderboard.html", tmp_path / "printed.html"):
            browser.open(page.as_uri())
            browser.run("document.querySelectorAll('details').forEach(each => { each.open = true })")
            browser.run("document.querySelectorAll('img').forEach(each => { each.loading = 'eager' })")
            browser.wait_for("joint 160, seed 0: 41.00")
            browser.wait_until("[...document.images].every(each => each.complete)")
            assert browser.run("return [...document.images].map(each => each.naturalWidth)") == [40] * 4
            joined = "return document.querySelector('polyline').getBoundingClientRect().width"
            assert float(browser.run(joined)) > 300
            browser.resize(480, 900)
            assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
            browser.resize(1400, 900)
