"""Which tests go to one of several processes: those of a file, and all that ask for the Ray head."""

import re

from xdist.scheduler import LoadFileScheduling

ON_RAY = re.compile(r"\[ray\]|/test_(doctor_)?ray_?\w*\.py::")


def is_on_ray(nodeid: str) -> bool:
    """Whether a test may ask for the head, by its name: that is all the process knows that hands them out."""
    return bool(ON_RAY.search(nodeid))


class ByFile(LoadFileScheduling):
    """As `--dist loadfile`, but that no other process starts a head of its own."""

    def _split_scope(self, nodeid: str) -> str:
        return "ray" if is_on_ray(nodeid) else super()._split_scope(nodeid)
