"""`python -m livestream` is the command `livestream`."""

from livestream.cli import main

main()
