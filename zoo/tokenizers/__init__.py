"""Text to tokens and back: characters, words."""
