"""The demo's server as a process of its own, as a user would run it."""

import queue
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
STOP_SECONDS = 30


class DemoServer:
    """`demo/server.py` on a port and a data folder that outlive a restart."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = _free_port()
        self.output: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """The origin, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it says that it is ready.

        Raises:
            RuntimeError: It ended before, or took too long; the message has its output.
        """
        command = [sys.executable, str(ROOT / "demo" / "server.py")]
        command += ["--port", str(self.port), "--data", str(self.data)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ready: queue.Queue[bool] = queue.Queue()
        threading.Thread(target=self._read, args=(self._process, ready), daemon=True).start()
        try:
            is_ready = ready.get(timeout=START_SECONDS)
        except queue.Empty:
            is_ready = False
        if not is_ready:
            self.kill()
            raise RuntimeError(f"demo/server.py did not get ready:\n{''.join(self.output)}")

    def stop(self) -> None:
        """Ask it to end and wait until it did."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        """End it without a chance to clean up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _read(self, process: subprocess.Popen[str], ready: "queue.Queue[bool]") -> None:
        """Keep the pipe empty for as long as the process lives."""
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line)
            if line.startswith("ready: "):
                ready.put(True)
        process.stdout.close()
        ready.put(False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
