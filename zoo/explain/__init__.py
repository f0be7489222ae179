"""Looking inside a model: one prediction in all its numbers, and who looks at whom."""
