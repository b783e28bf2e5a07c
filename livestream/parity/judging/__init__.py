"""Says whether two answers mean the same, what may differ, and what each profile should answer.

- `comparison`: of two observations, by `rules` (`rulesfile`: one's own). `difference`: what it finds.
- `cadence`: of two sessions' pace, from `figures`. `twin`: noise, learned from two servers that are the same.
- `expectations` and `model`: what a server with some of the faults answers: cases, sessions.
- `deviations`: the port's excuses; `habits`: what inputs they are about. `verdict`: what came of it all.
"""
