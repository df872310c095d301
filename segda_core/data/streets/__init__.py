"""The embedded pair of domains: street scenes drawn by our own code, so that every sweep runs anywhere."""

from segda_core.data.streets.write import VERSION, make_streets

__all__ = ["VERSION", "make_streets"]
