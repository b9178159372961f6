"""Tests of the Triton kernels, compiled where there is a GPU and interpreted where there is none."""
