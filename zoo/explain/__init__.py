"""Looking inside a model: one prediction in all its numbers, by the modules that computed them."""
