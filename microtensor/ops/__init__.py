"""The differentiable functions, by kind. Each is one definition: its value and its pullback, side by side."""
