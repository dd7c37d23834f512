"""A real WebUI with this extension in it, started for the tests on loopback and stopped after them."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

_FLAGS: list[str] = [
    "--skip-prepare-environment",
    "--skip-torch-cuda-test",
    "--skip-python-version-check",
    "--test-server",
    "--do-not-download-clip",
    "--no-half",
    "--use-cpu",
    "all",
    "--always-cpu",
    "--skip-version-check",
    "--no-download-sd-model",
    "--skip-load-model-at-start",
    "--api",
    "--api-server-stop",
]


_SETTINGS = {"emphasis": "No norm"}
"""The host divides by the mean of what its text encoder gives, which with random weights may be nothing at all."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class WebUI:
    """One running server. `data` is its own folder: models, outputs, settings, log."""

    def __init__(
        self,
        code: Path,
        python: Path,
        data: Path,
        checkpoints: Path | None,
        more: tuple[str, ...] = (),
        extension: Path | None = None,
    ) -> None:
        """`extension`: a folder of this extension below `data`; without it, this repository is linked there."""
        self.code, self.python, self.data = code, python, data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.auth: tuple[str, str] | None = None
        self._more = more
        self._checkpoints = checkpoints
        self._log_mark = 0
        self._server: subprocess.Popen[bytes] | None = None
        (data / "extensions").mkdir(parents=True, exist_ok=True)
        if not (data / "config.json").exists():
            (data / "config.json").write_text(json.dumps(_SETTINGS))
        (data / "models").mkdir(exist_ok=True)
        self._extension = extension or data / "extensions" / "upscale-plus"
        if not self._extension.exists():
            self._extension.symlink_to(ROOT, target_is_directory=True)

    @property
    def has_checkpoint(self) -> bool:
        return self._checkpoints is not None

    @property
    def loras(self) -> list[str]:
        """Names of the LoRAs that were given, as prompts name them."""
        return sorted(path.stem for path in (self.data / "models" / "Lora").glob("*.safetensors"))

    def environment(self) -> dict[str, str]:
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        home = self._checkpoints if self._checkpoints is not None else self.data
        return dict(os.environ, **offline, HF_HOME=str(home / "hf"), IGNORE_CMD_ARGS_ERRORS="1")

    def start(self, timeout: float = 300) -> None:
        environment = self.environment()
        for folder in ("Stable-diffusion", "Lora") if self._checkpoints is not None else ():
            given, own = self._checkpoints / "models" / folder, self.data / "models" / folder
            if given.is_dir() and not own.exists():
                own.symlink_to(given)
        installer = [str(self.python), str(self._extension / "install.py")]
        subprocess.run(installer, cwd=self.code, env=dict(environment, PYTHONPATH=str(self.code)), check=False)
        self._log_mark = len(self.log())
        log = self.log_file.open("ab")
        command = [str(self.python), "launch.py", *_FLAGS, "--port", str(self.port), "--data-dir", str(self.data)]
        command += ["--gradio-allowed-path", str(self.code), *self._more]
        if self._checkpoints is not None:
            found = sorted((self._checkpoints / "models" / "Stable-diffusion").glob("*.safetensors"))
            command += ["--ckpt", str(found[0])] if found else []
        self._server = subprocess.Popen(
            command, cwd=self.code, env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        self.wait(timeout)

    def wait(self, timeout: float = 300) -> None:
        deadline = time.monotonic() + timeout
        while True:
            assert self._server is not None
            if self._server.poll() is not None:
                raise RuntimeError(f"the WebUI ended with {self._server.returncode}: {self.log()[-3000:]}")
            # Not asked before: a request while the API is being added makes WebUI 1.10 end.
            if "Startup time" in self.log()[self._log_mark :]:
                assert self.call("/sdapi/v1/upscalers")[0] == 200
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the WebUI did not answer: {self.log()[-3000:]}")
            time.sleep(0.5)

    def stop(self) -> None:
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                self._server.kill()

    def kill(self) -> None:
        """As a crash would end it."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def log_file(self) -> Path:
        return self.data / "webui.log"

    def saved_images(self) -> set[Path]:
        """PNGs in the host's folder for them, which Neo calls "output"."""
        return {path for folder in self.data.glob("output*") for path in folder.rglob("*.png")}

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def call(self, path: str, body: Any = None, auth: tuple[str, str] | None = None) -> tuple[int, Any]:
        """(status, answer) of a GET, or of a POST where there is a body."""
        headers = {"Content-Type": "application/json"}
        auth = auth or self.auth
        if auth is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read())

    def upscalers(self) -> dict[str, dict[str, Any]]:
        """Name -> entry of the host's own list, in its order."""
        found = self.call("/sdapi/v1/upscalers")[1]
        assert len({entry["name"] for entry in found}) == len(found), "something is listed twice"
        return {entry["name"]: entry for entry in found}

    def reload(self) -> None:
        """Press "Reload UI" and wait for the page to be back."""
        before = self.log().count("Startup time")
        Page(self).press("settings_restart_gradio", wait=False)
        deadline = time.monotonic() + 300
        while self.log().count("Startup time") == before:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the page did not come back: {self.log()[-2000:]}")
            time.sleep(0.3)
        self.wait()


class Page:
    """The page as gradio's own front end sees it: components with values, buttons that send them. For both gradios."""

    def __init__(self, webui: WebUI) -> None:
        self._webui = webui
        self._config = webui.call("/config")[1]
        self._session = f"test{time.monotonic_ns()}"
        self._newer = str(self._config["version"]).startswith("4")
        self._by_id = {component["id"]: component for component in self._config["components"]}
        self.values = {key: component["props"].get("value") for key, component in self._by_id.items()}

    def component(self, elem_id: str) -> dict[str, Any]:
        return next(c for c in self._config["components"] if c["props"].get("elem_id") == elem_id)

    def set(self, values: dict[str, Any]) -> None:
        for elem_id, value in values.items():
            self.values[self.component(elem_id)["id"]] = value

    def press(self, elem_id: str, values: dict[str, Any] | None = None, *, wait: bool = True) -> list[Any]:
        """What the event of that component answers; outputs are remembered as the page would."""
        self.set(values or {})
        number, event = self._event(self.component(elem_id)["id"])
        data = [self.values[key] for key in event["inputs"]]
        answer = self._newer_answer(number, data, wait) if self._newer else self._older_answer(number, data, wait)
        for key, value in zip(event["outputs"], answer, strict=False):
            self.values[key] = value
        return answer

    def outputs_of(self, elem_id: str) -> list[str | None]:
        """The ids of the components that the event of that component answers for, in the answer's order."""
        _, event = self._event(self.component(elem_id)["id"])
        return [self._by_id[key]["props"].get("elem_id") for key in event["outputs"]]

    def _event(self, component: int) -> tuple[int, dict[str, Any]]:
        for number, event in enumerate(self._config["dependencies"]):
            targets = [target[0] if isinstance(target, list) else target for target in event["targets"]]
            if component in targets and event["backend_fn"]:
                return event.get("id", number), event
        raise LookupError(f"component {component} has no event")

    def _older_answer(self, number: int, data: list[Any], wait: bool) -> list[Any]:
        body = {"fn_index": number, "data": data, "session_hash": self._session}
        status, answer = self._webui.call("/run/predict", body)
        if not wait:
            return []
        assert status == 200, answer
        found: list[Any] = answer["data"]
        return found

    def _newer_answer(self, number: int, data: list[Any], wait: bool) -> list[Any]:
        body = {"fn_index": number, "data": data, "session_hash": self._session}
        status, answer = self._webui.call("/queue/join", body)
        assert status == 200, answer
        if not wait:
            return []
        with urllib.request.urlopen(f"{self._webui.url}/queue/data?session_hash={self._session}", timeout=300) as lines:
            for line in lines:
                message = json.loads(line[6:]) if line.startswith(b"data: ") else {}
                if message.get("msg") == "process_completed":
                    assert message["success"], message
                    found: list[Any] = message["output"]["data"]
                    return found
        raise RuntimeError("the event was not answered")


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


def as_base64(image: Image.Image, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return base64.b64encode(buffer.getvalue()).decode()


def from_base64(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text)))
