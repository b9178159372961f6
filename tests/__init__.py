"""Tests. Without a GPU, Triton's interpreter runs the kernels; it must be asked for before triton is first imported."""

import os

import torch

os.environ.setdefault("TRITON_INTERPRET", "0" if torch.cuda.is_available() else "1")
