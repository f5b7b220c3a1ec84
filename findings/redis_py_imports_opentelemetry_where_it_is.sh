#!/usr/bin/env bash
# redis-py 8.1.0: `import redis` beside opentelemetry-api, which many other packages bring along.
#
# Guess before the run: redis-py's metrics are off until they are configured, so importing it loads nothing of
# OpenTelemetry; whether that package is installed makes no difference to programs that never use it.
# Seen: importing redis imports opentelemetry.metrics if it is there, a dozen modules, which took a fifth of the import.
# Consequence: the time of a start, of a command line tool or a function in the cloud, depends on a package that neither
# the program nor redis-py needs. Figures of imports are to be compared in environments with the same packages.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "redis[hiredis]==8.1.0" "opentelemetry-api==1.45.2"
cat >"$folder/run.py" <<'PY'
import sys
from importlib.metadata import version
from subprocess import run

PROGRAM = """
import sys
if "hidden" in sys.argv:
    sys.modules["opentelemetry"] = None
import redis
print(len(sys.modules), sum(name.startswith("opentelemetry.") for name in sys.modules))
"""


def modules(*arguments: str) -> tuple[int, int]:
    done = run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    every, telemetry = map(int, done.stdout.split())
    return every, telemetry


there, hidden = modules(), modules("hidden")
print(f"redis-py {version('redis')}, opentelemetry-api {version('opentelemetry-api')}, Python {sys.version.split()[0]}")
print(f"import redis loads {there[0]} modules, {there[1]} of opentelemetry; {hidden[0]} where that is hidden")
sys.exit(0 if there[1] > 0 and hidden[1] == 0 and there[0] > hidden[0] else 1)
PY
"$folder/venv/bin/python" "$folder/run.py"
