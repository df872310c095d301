"""Correlations, intervals, corrections and selection against values worked out by hand."""

import io
import json
import math
from itertools import permutations, product

import numpy as np
import pytest
from rich.console import Console

from segda_core.quality import correlation
from segda_core.quality.analyse import analyse
from segda_core.quality.correlation import (
    clustered_interval,
    critical_rho,
    fisher_mean,
    holm,
    kendall,
    partial_spearman,
    permutation_p,
    ranks,
    spearman,
)
from segda_core.quality.render import notes, print_report, sheets
from segda_core.quality.selection import Row, choose, combined_score, oriented, ridge_score, standardised


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def row(run: str, miou: float, method: str = "a", step: int = 400, last: bool = True, **metrics) -> Row:
    return Row(run, method, step, last, miou, metrics)


def test_equal_values_share_their_mean_rank():
    assert ranks(array(3, 1, 3, 2)).tolist() == [3.5, 1, 3.5, 2]


def test_spearman_by_the_formula_without_ties():
    x, y = array(1, 2, 3, 4, 5), array(2, 1, 4, 3, 5)
    assert spearman(x, y) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert spearman(x, np.exp(y)) == pytest.approx(0.8)
    assert spearman(x, -x) == pytest.approx(-1)
    assert math.isnan(spearman(x, array(1, 1, 1, 1, 1)))


def test_spearman_with_ties_by_hand():
    # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5, squares 4.5 and 5
    assert spearman(array(0, 1, 1, 2), array(0, 1, 2, 3)) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_kendall_tau_b_by_hand():
    # pairs: 5 in order, 0 against, one tied in x; of 6 pairs 5 differ in x and 6 in y
    assert kendall(array(0, 1, 1, 2), array(0, 1, 2, 3)) == pytest.approx(5 / math.sqrt(5 * 6))
    assert kendall(array(1, 2, 3), array(1, 3, 2)) == pytest.approx(1 / 3)
    assert math.isnan(kendall(array(1, 1, 1), array(1, 2, 3)))


def test_partial_correlation_takes_away_what_time_explains():
    steps = np.arange(40.0)
    noise = np.random.default_rng(0).normal(size=(2, 40))
    x, y = steps + 3 * noise[0], steps + 3 * noise[1]
    assert spearman(x, y) > 0.8
    assert abs(partial_spearman(x, y, steps)) < 0.4
    assert partial_spearman(x, x, steps) == pytest.approx(1)
    assert math.isnan(partial_spearman(x, steps, steps))


def test_fisher_mean_of_opposite_correlations_is_zero_and_one_stays_finite():
    assert fisher_mean(array(0.7, -0.7)) == pytest.approx(0)
    assert fisher_mean(array(1.0, 0.0)) == pytest.approx(math.tanh(math.atanh(0.999) / 2))


def test_the_bootstrap_draws_runs_with_all_their_rows():
    """Two rows a run: a statistic that sees the rows must always find both of every run drawn."""
    runs = [name for name in "abcde" for _ in range(2)]
    x = np.repeat(np.arange(5.0), 2)
    seen = []

    def statistic(drawn: np.ndarray, other: np.ndarray) -> float:
        seen.append(np.unique(drawn, return_counts=True)[1])
        return float(drawn.mean())

    low, high = clustered_interval(x, x, runs, statistic)
    assert all((counts % 2 == 0).all() and counts.sum() == 10 for counts in seen)
    means = np.random.default_rng(1).integers(5, size=(20000, 5)).mean(axis=1)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.21)


def test_rows_of_few_runs_do_not_make_the_interval_narrow():
    """Ten copies of each run's row tell no more than one."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 12))
    once = clustered_interval(x, y, [str(i) for i in range(12)], spearman)
    copies = clustered_interval(
        np.repeat(x, 10), np.repeat(y, 10), [str(i) for i in range(12) for _ in range(10)], spearman
    )
    as_rows = clustered_interval(np.repeat(x, 10), np.repeat(y, 10), [str(i) for i in range(120)], spearman)
    assert copies == pytest.approx(once, abs=1e-9)
    assert as_rows[1] - as_rows[0] < 0.6 * (once[1] - once[0])


def test_no_interval_from_two_runs():
    assert clustered_interval(array(1, 2, 3), array(1, 2, 3), ["a", "a", "b"], spearman) is None


def test_permutation_p_is_the_share_of_all_orders():
    x, y = array(1, 2, 3, 4, 5), array(2, 1, 4, 3, 5)
    orders = [abs(spearman(x, np.array(order, dtype=np.float64))) for order in permutations(y)]
    exact = np.mean([rho >= 0.8 - 1e-9 for rho in orders])
    assert permutation_p(x, y) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(("count", "least"), [(5, 1), (6, 31 / 35), (7, 11 / 14), (8, 31 / 42), (9, 0.7)])
def test_few_rows_reach_the_critical_rho_in_less_than_one_of_twenty_orders(count, least):
    """The tables' values: the next smaller rho comes in more of all orders."""
    assert critical_rho(count) == pytest.approx(least, abs=1e-9)
    differences = np.array(list(permutations(range(count)))) - np.arange(count)
    rhos = np.abs(1 - 6 * (differences**2).sum(axis=1) / (count * (count**2 - 1)))
    below = rhos[rhos < least - 1e-9].max()
    assert np.mean(rhos >= least - 1e-9) < 0.05 <= np.mean(rhos >= below - 1e-9)


def test_the_critical_rho_of_many_rows_and_of_too_few():
    assert critical_rho(17) == pytest.approx(0.485, abs=0.015)
    assert critical_rho(30) == pytest.approx(0.362, abs=0.015)
    assert critical_rho(4) is None  # 2 of 24 orders have |rho| = 1


def test_the_notes_say_which_rho_is_no_chance():
    def said(runs: int) -> str:
        rows = [row(f"r{run}", run / 10, ent=float(run)) for run in range(runs)]
        return notes({**analyse(rows), "notes": []})[1]

    assert said(3) == "Too few runs for correlations."
    assert said(4).startswith("With n = 4, not even |rho| = 1 has p < .05 (two-sided). Intervals")
    assert said(7).startswith("With n = 7, |rho| must reach 0.79 for p < .05")


def test_holm_by_hand():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.8})
    assert adjusted == pytest.approx({"a": 0.04, "c": 0.09, "b": 0.09, "d": 0.8})


def test_regret_on_a_made_up_table():
    rows = [
        row("r1", 0.3, ent=0.2),
        row("r2", 0.5, ent=0.4),
        row("r3", 0.4, ent=0.1),
        row("r4", 0.9, ent=None),
    ]
    choice = choose(rows, oriented(rows, "ent"))  # low entropy is better: r3; r4 has none and is no candidate
    assert (choice.run, choice.miou, choice.num_more) == ("r3", 0.4, 0)
    assert choice.regret == pytest.approx(0.1)
    assert choice.random_regret == choice.last_regret == pytest.approx(0.1)


def test_equally_good_choices_count_their_mean_and_the_last_checkpoints_are_a_baseline():
    rows = [
        row("r1", 0.6, step=200, last=False, mi=0.9),
        row("r1", 0.4, step=400, mi=0.5),
        row("r2", 0.5, step=200, last=False, mi=0.9),
        row("r2", 0.3, step=400, mi=0.1),
    ]
    choice = choose(rows, oriented(rows, "mi"))
    assert (choice.run, choice.step, choice.miou) == ("r1", 200, pytest.approx(0.55))
    assert choice.num_more == 1
    assert choice.regret == pytest.approx(0.05)
    assert choice.random_regret == pytest.approx(0.15)
    assert choice.last_regret == pytest.approx(0.25)
    assert choose(rows, oriented(rows, "ent")) is None


def test_the_interval_of_a_regret_draws_whole_runs_again():
    miou, prior = [0.2, 0.5, 0.25, 0.4], [1.0, 3.0, 2.0, 0.5]  # lower is better: it picks 0.4
    rows = [row(f"r{run}", miou[run], last=True, prior=prior[run]) for run in range(4)]
    drawn = []
    for runs in product(range(4), repeat=4):  # every draw is as likely
        picked = min(runs, key=lambda run: prior[run])
        drawn.append(max(miou[run] for run in runs) - miou[picked])
    choice = analyse(rows)["selection"]["prior"]
    assert choice["regret"] == pytest.approx(0.1)
    assert choice["regret_ci"] == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist())
    assert analyse(rows[:2])["selection"]["prior"]["regret_ci"] is None


def test_a_metric_that_no_last_checkpoint_has_gives_a_report_all_the_same():
    """A network that collapsed has no class left whose cells can be compared."""
    rows = [
        row(
            f"r{run}",
            0.1 * run,
            step=step,
            last=step == 2,
            ent=0.5,
            mmd_class=0.1 * run if step == 1 else None,
        )
        for run in range(3)
        for step in (1, 2)
    ]
    report = analyse(rows)
    choice = report["selection_over_checkpoints"]["mmd_class"]
    assert (choice["run"], choice["last_regret"]) == ("r0", None)
    assert report["selection_over_checkpoints"]["ent"]["last_regret"] == pytest.approx(0.1)
    json.dumps(report, allow_nan=False)
    rows = selection_rows(report)
    assert ["mmd_class", "r0 @ 1", "0.00", "20.00", "0.00 to 20.00", "10.00", "-"] in rows
    assert ["ent", "r0 @ 1 and 5 more", "10.00", "10.00", "0.00 to 13.33", "10.00", "10.00"] in rows


def selection_rows(report: dict) -> list[list[str]]:
    *_, last = sheets({**report, "notes": []})
    return last.rows


def test_names_of_runs_and_metrics_are_whole_on_a_narrow_terminal():
    names = [f"student_oracle_teacher-gta5_cityscapes-n100-s{seed}-0123456789ab" for seed in range(5)]
    rows = [
        row(name, seed / 10, step=step, last=step == 400, prior_bands=float(seed), mmd_class=0.5)
        for seed, name in enumerate(names)
        for step in (200, 400)
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    print_report({**analyse(rows), "notes": []}, console)
    text = console.export_text()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert "…" not in text
    assert f"{names[0]} @ 200 and 1 more".replace(" ", "") in "".join(row[1] for row in cells).replace(
        " ", ""
    )
    assert all(sum(row[0] == name for row in cells) == 4 for name in ("prior_bands", "mmd_class"))


def test_the_combined_score_is_the_mean_of_signed_z_scores():
    rows = [
        row("r1", 0.1, ent=0.0, mi=3.0),
        row("r2", 0.2, ent=2.0, mi=1.0),
        row("r3", 0.3, ent=None, mi=2.0),
    ]
    third = math.sqrt(1.5)  # (3 - 2) / std of 3, 1, 2
    assert combined_score(rows) == pytest.approx([(1 + third) / 2, (-1 - third) / 2, 0])
    assert math.isnan(combined_score([row("r1", 0.1)])[0])
    assert standardised(array(2, 2, np.nan)).tolist() == [0, 0, 0]


def test_ridge_never_learns_from_the_method_it_scores():
    rng = np.random.default_rng(0)
    quality = rng.normal(size=30)
    rows = [
        row(f"r{i}", 0.4 + 0.1 * value, method="abc"[i % 3], ent=-value, mi=float(rng.normal()))
        for i, value in enumerate(quality)
    ]
    scores = ridge_score(rows, ["ent", "mi"])
    assert spearman(scores, quality) > 0.95
    changed = [
        Row(r.run, r.method, r.step, r.last, 0.9 if r.method == "a" else r.miou, r.metrics) for r in rows
    ]
    same = [r.method == "a" for r in rows]
    assert ridge_score(changed, ["ent", "mi"])[same] == pytest.approx(scores[same])
    assert np.isnan(ridge_score(rows[::3], ["ent"])).all()  # one method alone


def test_a_report_of_runs_alone():
    rng = np.random.default_rng(1)
    rows = [
        row(f"r{i}", i / 20, method="ab"[i % 2], ent=1 - i / 20, mi=float(rng.normal()), pad=2.0, src=None)
        for i in range(12)
    ]
    report = analyse(rows)
    across = report["across"]
    assert (report["runs"], report["rows"], report["within"], report["pooled"]) == (12, 12, None, None)
    assert list(across) == ["ent", "mi", "pad", "combined", "ridge"]
    assert across["ent"]["rho"] == pytest.approx(1) and across["ent"]["tau"] == pytest.approx(1)
    assert across["ent"]["p_holm"] == pytest.approx(2 * across["ent"]["p"])  # ent and mi are the family
    assert across["ent"]["rho_ci"] == pytest.approx((1, 1))
    assert across["pad"]["rho"] is None and "p_holm" not in across["pad"]
    assert report["selection"]["ent"]["regret"] == 0
    assert report["selection"]["pad"]["regret"] == pytest.approx(report["selection"]["pad"]["random_regret"])
    assert report["selection_over_checkpoints"] is None


def test_a_report_with_checkpoints_tells_within_from_across():
    """Within each run the metric follows mIoU, across runs it does the reverse."""
    rows = [
        row(f"r{run}", 0.1 * run + 0.01 * step, step=step, last=step == 5, ent=run - 0.1 * step)
        for run in range(6)
        for step in range(1, 6)
    ]
    report = analyse(rows)
    assert report["within"]["ent"] == {
        "n": 6,
        "rho": pytest.approx(0.999),
        "rho_ci": pytest.approx((0.999, 0.999)),
    }
    assert report["across"]["ent"]["rho"] == pytest.approx(-1)
    assert report["pooled"]["ent"]["n"] == 30 and report["pooled"]["ent"]["p"] is None
    assert report["pooled"]["ent"]["rho"] < 0 and report["pooled"]["ent"]["rho_given_step"] < 0
    assert report["selection_over_checkpoints"]["ent"]["run"] == "r0"
    assert correlation.RESAMPLES >= 1000


def test_two_trials_are_too_few_for_a_correlation():
    report = analyse([row("r1", 0.1, ent=0.5), row("r2", 0.2, ent=0.4)])
    assert report["across"]["ent"]["rho"] is None and report["critical_rho"] is None
    assert report["selection"]["ent"]["run"] == "r2"
