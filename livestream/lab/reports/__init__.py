"""What an experiment tells: its figures beside the reference, claims, plots, a page."""
