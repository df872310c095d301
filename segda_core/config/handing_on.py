"""What trials hand on to one another."""

from typing import Literal, NamedTuple

OutputName = Literal["segmenter", "generator", "images", "labels"]
"""What a trial can make: final weights, of a segmenter or of a translation network; images in GTA5's layout;
pseudo labels of the target subset."""


class Input(NamedTuple):
    """What a trial takes from a parent in one role."""

    output: OutputName
    """Which of the parent's outputs is read."""
    required: bool = False


ROLES = ("init_from", "network", "teacher", "labels")
"""Keys of a stage's `from` with a meaning of their own: segmenter weights to start from; what `translate` and
`pseudo_label` apply; a student's teacher; pseudo labels. Any other key is images for `source`."""

TEACHER = {"teacher": Input("segmenter", required=True)}
"""A finished network that teaches a student."""

INIT_FROM = {"init_from": Input("segmenter")}
"""Segmenter weights to start from, which every method that trains one may be given."""
