"""Texts to learn from: reading them, the held-out split, and batches of token ids."""
