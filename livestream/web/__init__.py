"""What is served over HTTP beside the stream.

- `rest`: the original's REST resources. `monitor`: the statistics that it serves nowhere.
- `page`: the live page, whose files are in `static/`. `threads`: the data of its thread theatre.
- `health` and `metrics`: for whoever runs the service; off unless asked for.
- `door`: who is let in, by `origins`, `authentication`, `rates` and `addresses`; `refusals`: how not.

Source: SPEC, "REST"; the rest is the port's own.
"""
