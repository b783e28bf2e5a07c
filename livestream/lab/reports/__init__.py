"""What an experiment tells: its figures beside the reference, claims, plots, a page.

- `reference`: what the report says and what was measured on the original; the data are in `reference.toml`.
- `claims`: each claim judged. `broadcasters`: threads, pool and ticker beside each other.
- `page`: all in one file; `files`: the folder. `words`, `cells`, `text`: how it is written.
- `pictures`: which plots; `plots` draws them, with `across`, `ticks` and `styles`.

Source: SPEC, "Figures" and "What the report claims".
"""
