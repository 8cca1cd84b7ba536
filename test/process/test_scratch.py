"""A scratch folder ends with its owner: by itself, or, if that was killed, when the next one is made."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from omnivla_vision.process.scratch import scratch

OWNER = """
import sys, time
from pathlib import Path
from omnivla_vision.process.scratch import scratch

with scratch(Path(sys.argv[1]), ".work-") as folder:
    (folder / "half").write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_dead_owner_s_folder_goes_and_a_living_one_s_stays(tmp_path: Path) -> None:
    owners = [
        subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for owner in owners:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "ready\n"
        assert len(list(tmp_path.iterdir())) == 2
        owners[0].send_signal(signal.SIGKILL)
        owners[0].wait()
        (tmp_path / "another's").mkdir()
        with scratch(tmp_path, ".work-") as folder:
            assert not list(folder.iterdir())
            assert len([path for path in tmp_path.glob(".work-*") if (path / "half").exists()]) == 1
        assert not folder.exists()
    finally:
        for owner in owners:
            owner.kill()
            owner.communicate()
    with scratch(tmp_path, ".work-"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["another's"]
