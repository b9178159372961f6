"""Training and fine-tuning of X-Codec models on a folder of recordings.

recipe -> recordings -> objective (quantization, spectral) -> trainer -> curves, shipping
"""
