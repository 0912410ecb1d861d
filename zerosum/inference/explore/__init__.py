"""What a trained generator is for: walks through its latents, arithmetic with them, the latent of an image, directions.

Each part is a function of a loaded model that gives tensors or frames, and another that makes files of them."""
