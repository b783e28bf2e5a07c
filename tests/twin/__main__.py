"""Builds the Java twin, or starts it: `make java-twin`, `make java-twin-run`."""

import argparse
import os
import sys

from livestream import contract
from tests.twin.jvm import BUILDS, TwinError, build, command


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.twin", description=__doc__)
    parser.add_argument("what", choices=("build", "run"))
    parser.add_argument("--profile", choices=tuple(BUILDS), default="original")
    parser.add_argument("--port", type=int, default=contract.PORT)
    asked = parser.parse_args()
    try:
        if asked.what == "run":
            words = command(asked.profile, asked.port)
            os.execv(words[0], words)  # Ctrl-C and its answer are the service's own.
        for profile in BUILDS:
            print(build(profile))
    except TwinError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
