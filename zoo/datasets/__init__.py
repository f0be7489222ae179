"""Text: reading it, and turning it into tokens and examples."""
