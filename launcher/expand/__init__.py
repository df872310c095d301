"""From a sweep file to points: what it may say, its stages and axes, settings in layers, every fault."""
