"""The hardware on which a run was computed."""

import os
import platform
import shutil
import subprocess


def describe_machine() -> str:
    """Cores, architecture and visible NVIDIA GPUs (if `nvidia-smi` is installed)."""
    parts = [f"{os.cpu_count()} CPU cores ({platform.machine()})"]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if (tool := shutil.which("nvidia-smi")) and not hidden:
        command = [tool, "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            parts += done.stdout.split("\n")
    return ", ".join(part.strip() for part in parts if part.strip())
