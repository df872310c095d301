"""The stream `target_pseudo`: images of the subset with labels of a parent's folder, never the true ones."""

import shutil

import numpy as np
import pytest
from domains import save
from PIL import Image

from segda_core.data.index import pseudo_label_file
from segda_core.data.loader import build_loader
from segda_core.data.manifest import manifest_hash, select_images
from segda_core.errors import DataError

PLAIN = {"target": {"mirror": False}}


@pytest.fixture
def labels(pair, configure, tmp_path):
    """A parent's folder: the image numbered i of the subset is all of class i, but for one ignored pixel."""
    folder = tmp_path / "labels"
    for number, record in enumerate(select_images(configure(pair, "pseudo_label")).target):
        ids = np.full((32, 64), number, dtype=np.uint8)
        ids[0, 0] = 255
        save(pseudo_label_file(folder, record.name), ids)
    return folder


def test_each_image_comes_with_the_parents_train_ids_and_the_true_ones_may_be_gone(pair, configure, labels):
    shutil.rmtree(pair / "camera/gtFine/train")
    config = configure(pair, "pseudo_label", transforms=PLAIN)
    images = select_images(config, outputs={"labels": labels})
    pixels = {np.asarray(Image.open(record.image)).tobytes(): i for i, record in enumerate(images.target)}
    (batch,) = next(iter(build_loader(config, images)))
    assert batch.source is batch.target is batch.target_labelled is None
    for image, label in zip(batch.target_pseudo.images, batch.target_pseudo.labels, strict=True):
        number = pixels[image.permute(1, 2, 0).contiguous().numpy().tobytes()]
        assert set(label.unique().tolist()) == {number, 255}
        assert (label == 255).sum() == 1


def test_the_same_subset_and_manifest_with_and_without_the_parents_folder(pair, configure, labels):
    config = configure(pair, "pseudo_label")
    alone, full = select_images(config), select_images(config, outputs={"labels": labels})
    assert manifest_hash(alone) == manifest_hash(full)
    subset = [record.name for record in select_images(configure(pair, "adaptsegnet")).target]
    assert [record.name for record in full.target] == [r.name for r in full.pseudo_labelled] == subset
    assert full.target_count == 6
    assert not full.labelled and not full.all_source and not alone.pseudo_labelled


def test_labels_of_half_the_size_are_brought_to_the_images(pair, configure, labels):
    for path in labels.rglob("*.png"):
        Image.open(path).crop((0, 0, 32, 16)).save(path)
    config = configure(pair, "pseudo_label", transforms=PLAIN)
    loader = build_loader(config, select_images(config, outputs={"labels": labels}))
    (batch,) = next(iter(loader))
    assert not loader.notes.resized
    assert batch.target_pseudo.labels.shape == (4, 32, 64)
    assert ((batch.target_pseudo.labels == 255).sum((1, 2)) == 4).all()


def test_a_missing_pseudo_label_is_named(pair, configure, labels):
    gone = min(labels.rglob("*.png"))
    gone.unlink()
    config = configure(pair, "pseudo_label", batch_size=6)
    with pytest.raises(DataError, match=gone.name):
        next(iter(build_loader(config, select_images(config, outputs={"labels": labels}))))
