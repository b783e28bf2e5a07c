"""The tour's diagrams, drawn from what was recorded: `make diagrams` writes them into examples/diagrams.

Sequences come from the packaged sessions of the original, timelines from lives of the port that are recorded
beside them as JSON.
"""
