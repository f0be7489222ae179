"""One file a model: its lesson, its network, its recipe. Read in the order of the README's table they are a course."""
