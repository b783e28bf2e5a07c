"""The experiments: each makes a plan of steps from a setup and its own options."""
