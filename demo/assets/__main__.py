"""`python -m demo.assets`: build the site and print its folder."""

import argparse
import sys

from demo.assets import AssetError, build, build_lab


def main() -> None:
    """Build from the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.assets", description=main.__doc__)
    parser.add_argument("--target", choices=("demo", "test"), default="demo")
    target = parser.parse_args().target
    try:
        print(build(target).root)  # noqa: T201 - the folder is this command's result
        if target == "demo":
            build_lab()
    except AssetError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
