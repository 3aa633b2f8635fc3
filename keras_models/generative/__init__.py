"""Generative models: autoencoders and adversarial ones."""
