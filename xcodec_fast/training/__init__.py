"""Training and fine-tuning of X-Codec models on a folder of recordings.

recipe -> recordings, start -> objective (quantization, spectral, intelligibility) -> trainer -> curves, shipping
"""
