"""Writes every diagram; with --record, of new lives. Run by `make diagrams`."""

import argparse

from livestream.stream.profiles import PROFILES
from tests.examples.diagrams.album import DIAGRAMS, FOLDER, LIVES, recorded_life
from tests.examples.diagrams.recording import record


def main() -> None:
    parser = argparse.ArgumentParser(prog="make diagrams", description=__doc__)
    parser.add_argument("--record", action="store_true", help="record the lives anew, in 20 seconds")
    if parser.parse_args().record:
        for profile in LIVES:
            record(PROFILES[profile]).write(recorded_life(profile))
            print(f"recorded {recorded_life(profile).name}")
    for name, draw in DIAGRAMS.items():
        (FOLDER / name).write_text(draw())
        print(f"drew {name}")


if __name__ == "__main__":
    main()
