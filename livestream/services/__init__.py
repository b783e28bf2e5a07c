"""Where the numbers come from, both simulated: `validators` and `blockchain`.

`interfaces` is all that the port knows of them. Source: SPEC, "The validators service" and "REST".
"""
