"""The one trainer, what it keeps on disk, and how it shows its progress."""
