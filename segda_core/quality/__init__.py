"""How well a segmenter is adapted, measured without one target label, and how far that can be trusted.

`measure` is what every trial does at its end, `full` the costlier rest; `report` sets them beside true mIoU.
"""
