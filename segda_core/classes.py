"""The 19 Cityscapes train ids every label map, logit and table uses (cityscapesScripts `labels.py`)."""

CLASSES: tuple[str, ...] = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""Names in train-id order: the index is the train id."""

RARE_CLASSES: tuple[str, ...] = ("rider", "truck", "bus", "train", "motorcycle")
"""Those that least images of streets show, and that adaptation most often gains or loses."""

SHOWN_SHARE = 0.001
"""Share of an image's labelled pixels from which on it shows a class."""

COMMON_SHARE = 0.8
"""Share of the source images from which on a class that they show is not rare, where that is counted."""

NUM_CLASSES = len(CLASSES)

IGNORE_INDEX = 255
"""Train id of pixels without a class: never trained on, never scored."""

LABEL_IDS: tuple[int, ...] = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""`LABEL_IDS[train_id]` is the id in GTA5 and Cityscapes `labelIds` PNGs; every other id is ignored."""

PALETTE: tuple[tuple[int, int, int], ...] = (
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (102, 102, 156),
    (190, 153, 153),
    (153, 153, 153),
    (250, 170, 30),
    (220, 220, 0),
    (107, 142, 35),
    (152, 251, 152),
    (70, 130, 180),
    (220, 20, 60),
    (255, 0, 0),
    (0, 0, 142),
    (0, 0, 70),
    (0, 60, 100),
    (0, 80, 100),
    (0, 0, 230),
    (119, 11, 32),
)
"""Cityscapes' colour (RGB, 0-255) of each train id."""
