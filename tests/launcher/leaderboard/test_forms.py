"""What is printed and written: terminal, CSV, JSON, Markdown and the listing by trial."""

import csv
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hand_made_runs import make_config, make_metrics
from rich.console import Console
from typer.testing import CliRunner

from launcher.cli import app
from launcher.leaderboard import Today, see, show
from launcher.leaderboard.write import write_leaderboards
from segda_core.files import write_json


def shown(board, fmt="terminal", width=140, all_trials=False, today=None, **options):
    console = Console(file=io.StringIO(), width=width)
    show(see([board.sweep], board.runs, all_trials=all_trials, today=today), console, fmt, **options)
    return console.file.getvalue()


@pytest.fixture
def ladder(board):
    """source_only, joint at 10 and 40 over two seeds, and a row with one seed missing."""
    for seed in (0, 1):
        board.trial(0.30 + 0.02 * seed, seed=seed)
        board.trial(0.35, seed=seed, method="joint", target__subset__size=10)
        board.trial(0.45, seed=seed, method="joint", target__subset__size=40)
    board.trial(0.90, seed=0, method="adaptsegnet", target__subset__size=40)
    board.outcome(
        board.trial(seed=1, method="adaptsegnet", target__subset__size=40), status="failed", cause="nan"
    )
    return board


def lines_with(text, word):
    return [line.split() for line in text.splitlines() if line.split()[1:2] == [word]]


def test_terminal(ladder):
    text = shown(ladder)
    assert "streets: mIoU in % (19 classes), mean ± sample std over seeds, protocol single" in text
    assert lines_with(text, "joint") == [
        ["1", "joint", "10", "10", "35.00", "±", "0.00", "2/2"],
        ["1", "joint", "40", "40", "45.00", "±", "0.00", "2/2"],
    ]
    assert (
        lines_with(text, "source_only") == [["2", "source_only", "-", "-", "31.00", "±", "1.41", "2/2"]] * 2
    )
    assert lines_with(text, "adaptsegnet") == [
        ["-", "adaptsegnet", "40", "-", "(90.00)", "1/2", "failed:", "nan"]
    ]
    assert "7 of 8 trials done (1 failed: nan)." in text
    assert "joint: 35.00 → 45.00 with 10 → 40 target images (+10.00)." in text
    assert "(...): not ranked" in text


def test_a_change_that_rounds_to_nothing_has_no_minus(board):
    for size, score in ((10, 0.30001), (40, 0.3)):
        board.trial(score, method="joint", target__subset__size=size)
    assert "target images (+0.00)." in shown(board)


def test_terminal_names_protocols_where_there_are_several(board):
    board.trial(0.3)
    board.trial(0.4, evaluation__protocol="mirror")
    text = shown(board)
    assert "protocol single" not in text.splitlines()[0]
    assert [line[-1] for line in lines_with(text, "source_only")] == ["mirror", "single"]


def test_per_class_on_a_narrow_terminal_shows_every_class(board):
    board.trial(0.3, evaluation={"size": [192, 96], "classes": ["road", "car", "train", "bus", "sky"]})
    text = shown(board, width=50, per_class=True)
    for name in ("road", "car", "train", "bus", "sky"):
        assert name in text
    assert text.count("30.00") == 1 + 5 + 1
    assert "road" not in shown(board, width=50)


def test_eighty_columns_hold_an_axis_and_notes_in_whole_words(board):
    levels = {"image": {}, "region": {}, "prototype": {}}
    for contrastive in (None, {**levels, "histograms": "shuffled"}, {**levels, "histograms": "raw"}):
        board.trial(method="adaptsegnet", contrastive=contrastive, point=("contrastive",))
    words = shown(board, width=80).split()
    assert {"adaptsegnet", "contrastive", "none", "prototype,", "histograms", "shuffled", "missing"} <= {
        *words
    }


@pytest.mark.parametrize("width", [60, 80])
def test_a_long_name_never_costs_a_number_its_end(board, width):
    board.trial(
        0.2324,
        method={"name": "mrnet", "class_balance": {"small_class_pixels": 4096}},
        seed=0,
    )
    board.trial(
        0.2346,
        method={"name": "mrnet", "class_balance": {"small_class_pixels": 4096}},
        seed=1,
    )
    board.trial(0.3, method={"name": "mrnet", "class_balance": {"small_class_pixels": 9}})
    text = shown(board, width=width)
    assert "23.35 ± 0.16" in text
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


@pytest.mark.parametrize("fmt", ["terminal", "markdown"])
def test_per_class_begins_with_the_mean_over_rare_classes(board, fmt):
    iou = {"road": 0.9, "train": 0.1, "bus": 0.4, "rider": None, "car": 0.7}
    board.trial(
        0.525, changes={"iou": iou}, evaluation={"size": [192, 96], "classes": ["road", "train", "bus"]}
    )
    text = shown(board, fmt, per_class=True)
    (line,) = [line for line in text.splitlines() if "90.00" in line]
    assert re.findall(r"\d+\.\d\d", line) == ["25.00", "90.00", "40.00", "10.00"]
    assert "rare: mean of bus, train." in text
    assert "rare:" not in shown(board, fmt)


def test_without_rare_classes_there_is_no_mean_over_them(board):
    board.trial(0.3, evaluation={"size": [192, 96], "classes": ["road", "car"]})
    assert "rare" not in shown(board, per_class=True)


def test_brackets_in_values_are_text_and_no_markup(board):
    for crop in ([64, 32], [96, 48]):
        board.trial(0.3, transforms__source={"crop": crop}, point=("transforms.source.crop",))
    assert "[64, 32]" in shown(board)


def test_csv_can_be_read_back(ladder):
    lines = list(csv.DictReader(io.StringIO(shown(ladder, "csv"))))
    assert len(lines) == 5
    joint = next(line for line in lines if line["method"] == "joint" and line["size"] == "40")
    assert joint == {
        "data": "streets",
        "protocol": "single",
        "size": "40",
        "rank": "1",
        "method": "joint",
        "target_images": "40",
        "labelled_images": "40",
        "uses_target_labels": "true",
        "miou": "45.00",
        "miou_std": "0.00",
        "pixel_accuracy": "75.00",
        "seeds_finished": "2",
        "seeds_planned": "2",
        "notes": "",
        **dict.fromkeys(list(joint)[14:], "45.00"),
    }
    assert list(joint)[14] == "road"
    assert len(joint) == 14 + 19
    source = [line for line in lines if line["method"] == "source_only"]
    assert [(line["size"], line["rank"], line["target_images"]) for line in source] == [
        ("10", "2", "0"),
        ("40", "2", "0"),
    ]
    unfinished = next(line for line in lines if line["method"] == "adaptsegnet")
    assert (unfinished["rank"], unfinished["notes"]) == ("", "failed: nan")


def test_json_holds_rows_ranks_and_every_trial(ladder):
    document = json.loads(shown(ladder, "json"))
    assert document["sweeps"] == ["demo"]
    (table,) = document["tables"]
    rows = {(row["method"], row["size"]): row for row in table["rows"]}
    source = rows["source_only", None]
    assert source["ranks"] == [{"size": 10, "rank": 2}, {"size": 40, "rank": 2}]
    assert source["miou"] == pytest.approx(0.31)
    assert source["protocol"]["split_manifest"] == "aaaa"
    assert [trial["miou"] for trial in source["trials"]] == [0.30, 0.32]
    failed = rows["adaptsegnet", 40]["trials"][1]
    assert (failed["state"], failed["cause"], failed["miou"]) == ("failed", "nan", None)
    assert sum(len(row["trials"]) for row in table["rows"]) == 8


def test_markdown(ladder):
    text = shown(ladder, "markdown", per_class=True)
    assert "| rank | method | target images | target labels | mIoU | seeds | notes |" in text
    assert "| **1** | **joint** | **40** | **40** | **45.00 ± 0.00** | **2/2** |  |" in text
    assert "| 2 | source\\_only | - | - | 31.00 ± 1.41 | 2/2 |  |" in text
    assert "| - | adaptsegnet | 40 | - | (90.00) | 1/2 | failed: nan |" in text
    assert "| joint 40 | 45.00 |" in text
    assert "- 7 of 8 trials done (1 failed: nan)." in text


def test_signs_of_markdown_in_values_are_text(board):
    for name in ("<b>", "*a*\\`|"):
        domains = {key: {"layout": "gta5", "root": "x"} for key in (name, "camera")}
        data = {"name": "streets", "domains": domains}
        board.trial(0.3, source=[{"name": name}], data=data, point=("source", "seed"))
    text = shown(board, "markdown")
    assert r"| **\<b>** |" in text and r"| **\*a\*\\\`\|** |" in text


def test_listing_of_the_notes(board):
    iou = {"road": 0.6535, "sidewalk": 0.2151, "car": 0.0}
    files = board.trial(
        0.2062,
        evaluation={"size": [192, 96], "classes": ["road", "sidewalk", "car"]},
        changes={"iou": iou},
    )
    board.trial(seed=1)
    assert shown(board, "notes") == (
        f"{files.root.name}\n===>road:  65.35\n===>sidewalk:  21.51\n===>car:  0.00\n===> mIoU: 20.62\n"
    )


def test_problems_are_listed(board):
    files = board.trial(0.3)
    files.metrics.write_text("{")
    assert str(files.metrics) in shown(board)
    assert json.loads(shown(board, "json"))["problems"][0].startswith(str(files.metrics))
    assert "| unreadable |" in shown(board, "markdown")


@pytest.mark.parametrize("fmt", ["terminal", "csv", "json", "markdown", "latex", "html", "notes"])
def test_every_form_bears_a_sweep_without_trials_or_results(board, fmt):
    shown(board, fmt)
    board.plan_only("joint-streets-n10-s0-0123456789ab")
    shown(board, fmt)
    board.trial()
    shown(board, fmt, per_class=True)


def test_files_are_written_whole_and_nothing_else_is_left(ladder):
    before = set(ladder.root.iterdir())
    write_leaderboards(ladder.root)
    write_leaderboards(ladder.root, today=Today(commit="xyz"))
    written = {path.name for path in set(ladder.root.iterdir()) - before}
    assert written == {f"leaderboard.{suffix}" for suffix in ("md", "html", "csv", "json", "tex", "txt")}
    assert json.loads((ladder.root / "leaderboard.json").read_text())["tables"][0]["rows"]
    assert "older code" in (ladder.root / "leaderboard.md").read_text()
    assert (ladder.root / "leaderboard.txt").read_text().count("===> mIoU:") == 7


def test_what_was_seen_is_written_and_looked_at_again_where_a_trial_finished_since(board):
    trials = [board.trial(0.2, seed=0), board.trial(seed=1)]
    seen = see([board.sweep], board.runs)
    seen.found.problems.append("as it was seen")
    write_leaderboards(board.root, seen=seen)
    assert "as it was seen" in (board.root / "leaderboard.md").read_text()
    write_json(trials[1].metrics, make_metrics(make_config(seed=1), 0.3))
    write_leaderboards(board.root, seen=seen)
    (table,) = json.loads((board.root / "leaderboard.json").read_text())["tables"]
    assert [row["seeds_finished"] for row in table["rows"]] == [2]
    assert "as it was seen" not in (board.root / "leaderboard.md").read_text()


def test_writers_at_once_leave_whole_files_that_know_every_result(board):
    trials = [board.trial(seed=seed) for seed in range(4)]

    def finish(seed):
        write_json(trials[seed].metrics, make_metrics(make_config(seed=seed), 0.1 * seed))
        write_leaderboards(board.root)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(finish, range(4)))
    (table,) = json.loads((board.root / "leaderboard.json").read_text())["tables"]
    assert [row["seeds_finished"] for row in table["rows"]] == [4]
    assert "(0.00" not in (board.root / "leaderboard.md").read_text()
    assert not [path for path in board.root.iterdir() if path.name.startswith(".")]


@pytest.fixture
def folders(tmp_path):
    """Published numbers on `streets`: a run of the notes without a score, and a paper's."""
    row = {"name": "a_run", "method": "A", "used": "target images", "target_images": 500, "steps": None}
    published = {"data": "streets", "notes": [{**row, "protocol": "p_mr", "miou": None}], "papers": []}
    published["papers"] = [{**row, "name": "a_paper", "protocol": "its own", "miou": 45.5}]
    write_json(tmp_path / "reference/streets.yaml", published)  # YAML reads JSON
    return [tmp_path / "nowhere", tmp_path / "reference"]


def test_published_numbers_follow_and_are_not_ranked(board, folders):
    board.trial(0.3)
    for fmt in ("terminal", "markdown"):
        text = shown(board, fmt, reference=folders)
        assert text.startswith(shown(board, fmt)) and "published numbers, not ranked" in text
        rows = [line.replace("|", " ").replace("\\", "").split() for line in text.splitlines()]
        assert ["notes", "a_run", "A", "target", "images", "500", "-", "p_mr", "-"] in rows
        assert ["papers", "a_paper", "A", "target", "images", "500", "-", "its", "own", "45.50"] in rows
    assert "No published numbers" in shown(board, reference=folders[:1])


def test_published_numbers_in_csv_have_columns_behind_those_of_every_row(board, folders):
    board.trial(0.3)
    plain, more = (
        list(csv.reader(io.StringIO(shown(board, "csv", reference=where)))) for where in ([], folders)
    )
    added = ["from", "name", "used", "steps"]
    assert more[:2] == [[*plain[0], *added], [*plain[1], "", "", "", ""]]
    own, run, paper = (dict(zip(more[0], line, strict=True)) for line in more[1:])
    assert own["rank"] == "1" and run["rank"] == paper["rank"] == ""
    assert (run["from"], run["name"], run["used"], run["miou"]) == ("notes", "a_run", "target images", "")
    assert (paper["from"], paper["protocol"], paper["miou"]) == ("papers", "its own", "45.50")
    assert (paper["data"], paper["method"], paper["target_images"]) == ("streets", "A", "500")
    assert shown(board, "csv", reference=folders[:1]) == shown(board, "csv")


def test_published_numbers_in_json_are_apart_and_fractions(board, folders):
    board.trial(0.3)
    plain, more = (json.loads(shown(board, "json", reference=where)) for where in ([], folders))
    (reference,) = more.pop("references")
    assert more == plain
    run, paper = reference["rows"]
    assert reference["data"] == "streets"
    assert (run["from"], run["miou"], run["steps"]) == ("notes", None, None)
    assert (paper["from"], paper["name"], paper["miou"]) == ("papers", "a_paper", 0.455)
    assert json.loads(shown(board, "json", reference=folders[:1]))["references"] == []


def test_the_command_rewrites_a_sweeps_files_where_jobs_ended_without_a_launch(ladder):
    command = ["leaderboard", "demo", "--runs", str(ladder.runs)]
    written = ladder.root / "leaderboard.csv"
    assert CliRunner().invoke(app, [*command, "--all"]).exit_code == 0
    assert not written.exists()
    assert CliRunner().invoke(app, command).exit_code == 0
    before = written.read_text()
    ladder.trial(0.40, seed=1, method="adaptsegnet", target__subset__size=160)
    assert CliRunner().invoke(app, command).exit_code == 0
    assert written.read_text() != before
    written.unlink()
    written.mkdir()  # cannot be replaced by a file
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0 and "adaptsegnet" in result.stdout
    assert "the leaderboard's files are not written: " in result.stderr


def test_scores_under_other_classes_are_no_growth_and_the_title_counts_none(board):
    for size, classes in ((10, ["road", "car"]), (40, ["road", "sky"])):
        evaluation = {"size": [192, 96], "classes": classes}
        board.trial(size / 100, method="joint", target__subset__size=size, evaluation=evaluation)
    text = shown(board)
    assert "(each protocol's classes)" in text and "→" not in text


def test_the_mean_over_rare_classes_is_of_all_of_them_or_none(board):
    for miou, classes in ((0.25, ["road", "bus"]), (0.5, ["road", "bus", "train"])):
        board.trial(miou, evaluation={"size": [192, 96], "classes": classes})
    lines = table_lines(shown(board, "markdown", per_class=True), "source_only single")
    rare = {line[1]: line[2] for line in lines}
    assert rare == {"source_only single (2 classes)": "-", "source_only single (3 classes)": "50.00"}


def table_lines(text, start):
    """Cells of the Markdown lines whose first one begins so."""
    lines = [[cell.strip().replace("\\_", "_") for cell in line.split("|")] for line in text.splitlines()]
    return [line for line in lines if line[1:2] and line[1].startswith(start)]


def test_rows_per_class_say_what_sets_them_apart(board):
    subset = {"target__subset__size": 40}
    board.trial(0.3, method="ema_classmix", **subset, target__labelled={"size": 10})
    board.trial(0.4, method="ema_classmix", **subset, target__labelled={"size": 20})
    text = shown(board, "markdown", per_class=True)
    names = [line[1] for line in table_lines(text, "ema_classmix 40")]
    assert names == ["ema_classmix 40 (20 labels)", "ema_classmix 40 (10 labels)"]


def test_json_says_why_a_complete_row_is_not_ranked(board):
    for method in ("joint", "adaptsegnet"):
        for seed in (0, 1):
            board.trial(0.3, seed=seed, method=method, target__subset__size=10)
    board.trial(0.9, seed=0, method="supervised", target__subset__size=10)
    rows = {row["method"]: row for row in json.loads(shown(board, "json"))["tables"][0]["rows"]}
    assert (rows["supervised"]["marks"], rows["supervised"]["ranks"]) == (["other seeds"], [])


def test_a_gain_is_the_difference_of_what_is_shown(board):
    for size, score in ((10, 0.051249), (40, 0.044551)):
        board.trial(score, method="joint", target__subset__size=size)
    assert "5.12 → 4.46 with 10 → 40 target images (-0.66)." in shown(board)


@pytest.mark.parametrize("fmt", ["terminal", "markdown"])
def test_a_sweep_that_trains_no_segmenter_says_so(board, fmt):
    assert shown(board, fmt) == "No trials yet.\n"
    crops = {"source": {"crop": [64, 32]}, "target": {"crop": [64, 32]}}
    board.trial(method={"name": "cyclegan"}, model=None, transforms=crops)
    assert shown(board, fmt) == "No trial of it trains a segmenter: nothing to rank.\n"


def latex_tables(text):
    """Kinds of the columns of each `tabular`, and the cells of its lines."""
    found = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    return [
        (kinds, [re.split(r"(?<!\\)&", line) for line in body.splitlines() if line.endswith(r"\\")])
        for kinds, body in found
    ]


def test_latex_has_a_cell_for_every_column_and_the_best_in_bold(ladder, folders):
    text = shown(ladder, "latex", per_class=True, reference=folders)
    tables = latex_tables(text)
    assert [len(kinds) for kinds, _ in tables] == [6, 1 + 1 + 19, 8]
    assert all(len(line) == len(kinds) for kinds, lines in tables for line in lines)
    assert text.count(r"\midrule") == 2 + 1 + 1, "between the sizes, and below the headings"
    main = [" ".join(line) for _, lines in tables[:1] for line in lines]
    bold = [line for line in main if r"\textbf{" in line]
    assert len(bold) == 2 and all(r"\textbf{joint}" in line for line in bold)
    assert r"\textbf{45.00 $\pm$ 0.00}" in text and r"source\_only" in text and r"mIoU in \%" in text
    assert not re.search(r"(?<!\\)[#_]", text.replace("% ", ""))


def test_rows_of_all_images_say_how_many_come_with_labels(board):
    board.trial(0.3, method="joint", target__labelled={"size": 10})
    board.trial(0.4, method="joint")
    names = [line[1] for line in table_lines(shown(board, "markdown", per_class=True), "joint all")]
    assert names == ["joint all", "joint all (10 labels)"]
