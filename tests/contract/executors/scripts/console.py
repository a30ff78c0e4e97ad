"""What programs print, and how."""

import logging
import subprocess
import sys

from clearml import Task

task = Task.init("contract", "console")
print("> a line", flush=True)
print("> one of the other stream", file=sys.stderr, flush=True)
for done in range(5):
    print(f"\r> {done + 1} of 5", end="", flush=True)
print()
print("> größer ≥ 1 ✓ 日本")
print("> " + "long " * 2000 + "end")
logging.basicConfig(format="> %(levelname)s %(message)s", force=True)
logging.getLogger("a").warning("of logging")
subprocess.run(["echo", "> of another process"], check=True)
sys.stdout.write("> two\n> at once\n")
sys.stdout.write("> without an end")
