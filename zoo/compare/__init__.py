"""Comparisons: a model with several values of a setting, or several models, trained one after the other."""
