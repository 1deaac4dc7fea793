"""`python -m wapsi.samples OUT [--seed N]`: writes the sample feeds into a folder."""

import argparse
import sys
from pathlib import Path

from wapsi.samples.generate import DEFAULT_SEED, generate


def main() -> None:
    """Names each file that was written on standard output."""
    parser = argparse.ArgumentParser(prog="python -m wapsi.samples", description="Write the sample feeds.")
    parser.add_argument("out", type=Path, help="the folder, made where it is missing")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    arguments = parser.parse_args()
    for shop in generate(arguments.out, seed=arguments.seed):
        sys.stdout.write(f"{shop.slug}\t{shop.offer_count} offers\t{shop.feed_path}\n")


main()
