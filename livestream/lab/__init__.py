"""What do clients cost? Behind `livestream scale`: a load from one process, and what the other one uses.

- `experiments`: sweep, lifecycle, soak and others; `experiment`: what they share.
- `results`: what they find, each figure with its unit. `reports`: plots, tables, the report's claims judged.
- `server`: the server that is measured. `load`: the clients: `swarm`, `client`, `tally`.
- `measure`: one measurement. `probe`: a process's threads, memory, processor time; `timeline`: over time;
  `settling`: until they hold still. `figures`: what comes out of it.
- `host` and `limits`: the machine, and what it can't do.

It knows a server by its URL, and its process by the kernel's accounts. Source: SPEC, "Figures".
"""
