"""Benches of the model and of its kernels, and what the compiler makes of the kernels."""
