"""The command `ormis`, also as `python -m ormis`: names the extra to install if the tool's libraries are missing."""

import sys

try:
    from .cli import app
except ModuleNotFoundError as error:
    if error.name not in ("typer", "rich"):
        raise
    app = None


def main() -> None:
    """Runs the command line tool."""
    if app is None:
        sys.stderr.write('ormis: the command line tool needs two more libraries: pip install "ormis[cli]"\n')
        sys.exit(2)
    app()


if __name__ == "__main__":
    main()
