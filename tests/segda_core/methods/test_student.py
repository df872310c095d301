"""Students: the teacher's labels and their losses, from whose weights they start, and who may teach whom."""

import pytest
import torch
from trials import run, small_config, write_trial

from segda_core import checkpoint
from segda_core.engine import build_method
from segda_core.errors import ConfigError
from segda_core.files import read_json, write_json
from segda_core.methods import METHODS
from segda_core.methods.mrnet import MRNet

STUDENTS = ("student_more_images", "student_selftrain", "student_oracle_teacher")


@pytest.mark.parametrize("threshold", [None, 0.055])
def test_losses_are_cross_entropies_with_the_truth_and_with_the_teachers_labels(
    build, batches, join, threshold
):
    options = {"threshold": threshold, "lambda_target": 2.0, "lambda_aux": 0.3}
    trial, batch = build(name="student_selftrain", **options), join(batches("student_selftrain"))
    student, teacher = trial.method.segmenter, trial.method.teacher
    with torch.no_grad():
        confidence, pseudo = teacher.at_image_size(batch.target.images).main.softmax(1).max(1)
        known = torch.ones_like(confidence) if threshold is None else (confidence >= threshold).float()
    assert (0 < known.mean() < 1) == (threshold is not None)
    wanted = {}
    for name, images, labels, weights, factor in (
        ("source", batch.source.images, batch.source.labels, (batch.source.labels != 255).float(), 1),
        ("target", batch.target.images, pseudo, known, 2),
    ):
        heads = student.at_image_size(images)
        for suffix, head, of_head in (("", heads.main, 1), ("_aux", heads.aux, 0.3)):
            each = -head.log_softmax(1).gather(1, labels.clamp(max=18)[:, None])[:, 0]
            wanted[f"segmenter/{name}{suffix}"] = factor * of_head * (each * weights).sum() / weights.sum()
    gradients = torch.autograd.grad(sum(wanted.values()), list(student.parameters()))
    losses = trial.backward([batch])
    assert losses == pytest.approx({name: loss.item() for name, loss in wanted.items()}, rel=1e-4)
    for parameter, gradient in zip(student.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not teacher.training and list(trial.method.networks()) == ["segmenter"]


def test_more_images_is_the_adapted_models_method_again():
    assert METHODS["student_more_images"] is MRNet


@pytest.mark.parametrize("name", STUDENTS)
def test_from_whose_weights_a_student_starts(root, name):
    made = {"teacher": root / "teacher.pt"}
    weights = checkpoint.load(made["teacher"])["networks"]["segmenter"]
    method = build_method(small_config(root, name), torch.device("cpu"), made)
    same = [torch.equal(tensor, weights[key]) for key, tensor in method.segmenter.state_dict().items()]
    assert all(same) == (name != "student_oracle_teacher")
    if name != "student_more_images":
        state = method.teacher.state_dict()
        assert all(torch.equal(state[key], tensor) for key, tensor in weights.items())


@pytest.mark.parametrize("name", STUDENTS)
def test_the_result_says_whether_target_labels_are_above_it(root, tmp_path, name):
    trial = write_trial(tmp_path / "trial", small_config(root, name, steps=1, quality={"images": 0}))
    run(trial)
    metrics = read_json(trial.metrics)
    assert metrics["uses_target_labels"] is (name == "student_oracle_teacher")
    assert metrics["labelled_images"] == 0 and metrics["target_images"] == 8
    assert metrics["parents"]["teacher"]["output"] == "segmenter"


@pytest.mark.parametrize("name", STUDENTS[1:])
def test_a_teacher_that_makes_the_name_untrue_is_refused(root, tmp_path, name):
    trial = write_trial(tmp_path / "trial", small_config(root, name, steps=1))
    (parent,) = tmp_path.glob("teacher-parent-*")
    metrics = read_json(parent / "metrics.json")
    write_json(parent / "metrics.json", {**metrics, "uses_target_labels": not metrics["uses_target_labels"]})
    used = "without" if name == "student_oracle_teacher" else "with"
    with pytest.raises(ConfigError, match=f"{name}: its teacher .* was trained {used} target labels"):
        run(trial)
