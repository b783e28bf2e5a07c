"""The command `livestream` as somebody other than root, who knows no `ulimit -u`."""

# All that the command needs later, while it may still read root's files.
import encodings.idna  # noqa: F401
import os

import livestream.cli.serve  # noqa: F401
from livestream.cli import main

#: Nobody's number on any machine, so that the server's threads are all that it has.
SOMEBODY = 54_321

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(SOMEBODY)
    os.setuid(SOMEBODY)
main()
