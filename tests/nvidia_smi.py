"""What ``nvidia-smi -L`` prints on several machines, and a program that prints it."""

from __future__ import annotations

import shlex
from pathlib import Path

NONE = ""
NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
ONE = "GPU 0: NVIDIA H200 (UUID: GPU-7e3c9f5a-0a52-7a16-3f0e-5b1c7f3b8a11)\n"
FOUR = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-61a35ea5-2f0b-3a33-8a5e-1f0f1a9d1c5b)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-b1c1b7a1-6f14-1a48-77aa-8b36bb6b1a2d)
GPU 3: NVIDIA A100-SXM4-40GB (UUID: GPU-eb88a0b5-93a4-4a39-9a31-4ff7a3a9c0ef)
"""
EIGHT = "".join(
    f"GPU {i}: NVIDIA H100 80GB HBM3 (UUID: GPU-{i}c1e7d40-52ab-4f0e-a1c3-77d0b9e6{i}f58)\n" for i in range(8)
)
MIG = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-b3b2b1a0-3c39-5d3f-8cbb-4e51a5f5c0aa)
  MIG 3g.20gb     Device  1: (UUID: MIG-0f6d4ee1-6a0b-5f5e-9f52-9b4b7a3c2d01)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-61a35ea5-2f0b-3a33-8a5e-1f0f1a9d1c5b)
"""
MIG_NAMES = ("MIG-b3b2b1a0-3c39-5d3f-8cbb-4e51a5f5c0aa", "MIG-0f6d4ee1-6a0b-5f5e-9f52-9b4b7a3c2d01", "1")


def put(folder: Path, listing: str) -> str:
    """A ``PATH`` on which ``nvidia-smi -L`` prints ``listing``, and fails where there is no driver."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "nvidia-smi"
    code = 0 if listing.startswith("GPU") else 9
    program.write_text(f'#!/bin/sh\n[ "$1" = -L ] && printf %s {shlex.quote(listing)}\nexit {code}\n')
    program.chmod(0o755)
    return f"{folder}:/usr/local/bin:/usr/bin:/bin"
