"""Starts a script in processes of its own, as torchrun and accelerate do: python launch.py --nproc 2 SCRIPT ARGS."""

import os
import subprocess
import sys

count = int(sys.argv[sys.argv.index("--nproc") + 1])
command = [sys.executable, *sys.argv[3:]]
ranks = [subprocess.Popen(command, env={**os.environ, "RANK": str(rank)}) for rank in range(count)]
sys.exit(max(process.wait() for process in ranks))
