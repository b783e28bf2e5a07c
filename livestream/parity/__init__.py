"""Is this server the same as that one? Behind `livestream parity`, `record` and `asyncapi`.

- `plan`: what to compare. `run`: the comparison, from its first case to its last.
- `cases`: the corpus, which is in `corpus/`; `recorder` makes one, `writing` writes it.
- `playing`: asks a server. `asking`: what a live one is expected to answer. `judging` and `judge`: compare.
  `fuzzing`: makes up what nobody recorded. `reports`: tell what came of it.
- `asyncapi`: the contract as a document; `schemas`: its messages; `contractlog`: whether each one kept to it.

It knows a server by its URL, and by its process number its threads.
Source: SPEC, whose recordings the corpus is.
"""
