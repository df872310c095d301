"""Kernels for GPUs, in Triton's language: few operations on much memory, read and written once."""
