"""Looking inside a model: one prediction in all its numbers, and the attention weights."""
