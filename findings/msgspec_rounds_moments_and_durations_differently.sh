#!/usr/bin/env bash
# msgspec reads a number of seconds, written as text, as a datetime and as a timedelta (strict=False).
#
# Guess: both are rounded the same way, as datetime.fromtimestamp() and timedelta(seconds=...) are: half to even.
# Seen: three ways for one text. A moment goes by way of whole nanoseconds that are cut off, and is then rounded up from
# a half; a duration is rounded half away from zero; Python's own are rounded half to even. So -0.3223405 seconds before
# 1970 and a duration of -0.3223405 seconds differ by a microsecond, and the same text, read by msgspec and by Python,
# gives two values: whoever compares or sorts by the one and shows the other is off by one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check msgspec==0.23.0
"$folder/venv/bin/python" - <<'PYTHON'
import random
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import msgspec

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def moment(text: str) -> int:
    return (msgspec.convert(text, datetime, strict=False) - EPOCH) // MICROSECOND


def duration(text: str) -> int:
    return msgspec.convert(text, timedelta, strict=False) // MICROSECOND


def python(text: str) -> int:
    return timedelta(seconds=float(text)) // MICROSECOND


text = "-0.3223405"
found = moment(text), duration(text), python(text)
print("msgspec", version("msgspec"), "Python", sys.version.split()[0])
print(f"{text} s: datetime {found[0]} us, timedelta {found[1]} us, timedelta(seconds=float) {found[2]} us")
random.seed(1)
texts = [f"{random.uniform(-2, 2):.7f}" for _ in range(20_000)]
apart = sum(moment(one) != duration(one) for one in texts), sum(duration(one) != python(one) for one in texts)
print(f"of {len(texts)} numbers with seven digits: {apart[0]} differ between datetime and timedelta, {apart[1]} between "
      "timedelta of msgspec and of Python")
sys.exit(0 if found == (-322340, -322341, -322340) and min(apart) > 0 else 1)
PYTHON
