import pytest
import torch
from torch import nn

from segda_core.training.ema import decay, follow, make_teacher


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout2d(0.5), nn.Dropout(0.9))


def test_decay_at_named_steps():
    assert [decay(step, 0.999) for step in (0, 1, 2, 98)] == pytest.approx([1 / 2, 2 / 3, 3 / 4, 0.99])
    assert decay(997, 0.999) == pytest.approx(0.998999, abs=1e-6)
    assert decay(998, 0.999) == decay(10_000, 0.999) == 0.999
    assert [decay(step, 0.99) for step in (98, 99, 5000)] == pytest.approx([0.99] * 3)


def test_the_first_averages_are_plain_means_of_all_students():
    student = nn.Linear(1, 1)
    teacher, values = make_teacher(student), [student.weight.item()]
    for step in range(5):
        with torch.no_grad():
            student.weight.fill_(float(step * step))
            follow(teacher, student, decay(step, 0.999))
        values.append(float(step * step))
        assert teacher.weight.item() == pytest.approx(sum(values) / len(values), abs=1e-6)


def test_following_by_hand_and_parameters_alone():
    student, other = network(), network()
    teacher = make_teacher(student)
    with torch.no_grad():
        student[0].weight.fill_(2.0)
        teacher[0].weight.fill_(1.0)
        student[1].running_mean.fill_(7.0)
        follow(teacher, student, 0.9)
    torch.testing.assert_close(teacher[0].weight, torch.full_like(teacher[0].weight, 1.1))
    assert torch.equal(teacher[1].running_mean, other[1].running_mean)
    assert (student[0].weight == 2.0).all()


def test_a_teacher_has_no_gradients_no_dropout_and_statistics_of_its_own():
    student = network().eval()
    teacher = make_teacher(student)
    inputs = torch.randn(4, 3, 5, 5)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    for mode in (True, False, True):
        teacher.train(mode)
        first = teacher(inputs)
        assert torch.equal(first, teacher(inputs))
        assert (first != 0).all()
    assert teacher[1].num_batches_tracked > 0 and student[1].num_batches_tracked == 0
    assert torch.equal(student[1].running_mean, torch.zeros(4))
    pairs = zip(teacher.parameters(), student.parameters(), strict=True)
    assert not any(own.data_ptr() == other.data_ptr() for own, other in pairs)


def test_stochastic_depth_is_off_too():
    from timm.layers import DropPath

    student = nn.Sequential(DropPath(0.5), nn.Linear(2, 2))
    teacher = make_teacher(student)
    assert (teacher[0].drop_prob, student[0].drop_prob) == (0.0, 0.5)
    inputs = torch.randn(64, 2)
    assert torch.equal(teacher(inputs), teacher[1](inputs))
