"""Denoising diffusion models: noise is added to an image, and a UNet takes it away again."""
