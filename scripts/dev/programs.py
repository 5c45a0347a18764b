"""The programs of this checkout, for scripts that measure or check them. Needs Python 3.10 or later and nothing else."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adamtrain"


def fail(code, message, hint=None):
    """Ends with a code, and says why."""
    print(f"error: {message}" + (f"\n  hint: {hint}" if hint else ""), file=sys.stderr)
    sys.exit(code)


def built(name, *words, env=None):
    """The path of a program, which cargo builds by these words; ends with 3 where it does not build."""
    if not shutil.which("cargo"):
        fail(1, "cargo is missing", "see https://rustup.rs")
    command = ["cargo", *words, "--locked", "--message-format", "json-render-diagnostics"]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=env)
    messages = map(json.loads, ran.stdout.splitlines()) if ran.returncode == 0 else ()
    found = [it["executable"] for it in messages if it.get("executable") and it["target"]["name"] == name]
    return found[-1] if found else fail(3, f"{name} does not build")
