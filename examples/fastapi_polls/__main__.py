"""Serves the API on http://127.0.0.1:8000, on an embedded server with its data in a temporary directory."""

import os
import sys

import uvicorn

from .api import app


def main() -> None:
    os.environ.setdefault("ORMIS_URL", "embedded://")
    port = int(sys.argv[1]) if sys.argv[1:] else 8000
    print(f"The polls: http://127.0.0.1:{port}/docs (Ctrl-C ends)", flush=True)
    uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    main()
