"""Look after the store of finished stages 1: ``python -m lt_calib.cache ls | verify | rm KEY... | rm --all``."""

import argparse
import sys
from pathlib import Path

from lt_calib.cache.entry import describe, keys, remove, sound
from lt_calib.closed_pipe import outlive_reader


def main() -> None:
    """Run the command."""
    outlive_reader()
    from lt_calib.settings.schema import composed

    parser = argparse.ArgumentParser(prog="python -m lt_calib.cache", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, help="the cache's folder; default: that of conf/cache/on.yaml")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ls", help="list the entries")
    commands.add_parser("verify", help="check every entry's checksum; exit 1 if one is damaged")
    rm = commands.add_parser("rm", help="remove entries")
    rm.add_argument("keys", nargs="*", metavar="KEY")
    rm.add_argument("--all", action="store_true", help="all of them")
    args = parser.parse_args()
    root = args.root or composed().cache.root
    if not root:
        sys.exit("LT_CALIB_CACHE is empty, which turns the cache off: name its folder with --root")
    folder = Path(root).expanduser()
    there = keys(folder)
    if args.command == "ls":
        print("\n".join(describe(folder, key) for key in there) or f"{folder} has no entry")
    elif args.command == "verify":
        damaged = [key for key in there if not sound(folder, key)]
        print("\n".join([f"{len(there)} entries, {len(damaged)} damaged", *damaged]))
        sys.exit(1 if damaged else 0)
    else:
        wanted = there if args.all else args.keys
        unknown = sorted(set(wanted) - set(there))
        if unknown or not (wanted or args.all):
            sys.exit(f"no such entry: {', '.join(unknown)}" if unknown else "say which KEY, or --all")
        try:
            for key in wanted:
                remove(folder, key)
        except OSError as error:
            sys.exit(f"{folder} cannot be written to ({error.strerror}): an entry of it is not removed")
        print(f"{len(wanted)} entries removed from {folder}")


if __name__ == "__main__":
    main()
