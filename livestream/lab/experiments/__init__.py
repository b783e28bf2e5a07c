"""The experiments: each makes a plan of steps from a setup and its own options.

`sweep`, `lifecycle`, `soak`, `switch_interval` and `models`, as `livestream scale` calls them.
"""
