"""What happens if? A model with several values of a setting, or several models, trained one after the other and compared."""
