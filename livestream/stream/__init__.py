"""The port: it reads like the original, knows no Flask and no socket, and needs neither to be tested.

Begin with `endpoint`, which has the original's methods in the original's order.

- `endpoint`: opening, messages, closing, errors. `registry`: the connections and the counter.
- `channels`: the four channels and their figures. `broadcast`: a thread for each channel of each client;
  `sleeping`: how it sleeps; `shared`: the same with fewer threads, for experiments.
- `messages`: the envelope and the clock. `jackson` and `java_text`: JSON and numbers as the original's
  library reads and writes them.
- `profiles`: the original's faults, a flag each.
- `sources`: figures from elsewhere (`--source`). `extensions` and `history`: what the report wished for
  (`--extensions`).

Source: SPEC, "Messages", "Life of a connection", "As shipped", "As reported", "JSON as the original reads
it".
"""
