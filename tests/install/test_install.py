"""install.py and preload.py, run as a WebUI runs them, in a copy of the extension."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def extension(tmp_path: Path) -> Path:
    """A copy of what is run before the extension's package can be imported."""
    folder = tmp_path / "any name"
    (folder / "lib_upscale" / "webui").mkdir(parents=True)
    for name in ("install.py", "preload.py", "lib_upscale/webui/private.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder of packages with the spandrel that WebUI 1.10 pins."""
    folder = tmp_path / "host"
    (folder / "spandrel-0.3.4.dist-info").mkdir(parents=True)
    return folder


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Wheels of the packages that hold nothing but a name."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for package, version in (("spandrel", "0.4.2"), ("spandrel_extra_arches", "0.2.0"), ("resselt", "1.4.1")):
        make_wheel(folder, package, version)
    return folder


def make_wheel(folder: Path, package: str, version: str) -> None:
    info = f"{package}-{version}.dist-info"
    name = package.replace("_", "-")
    files = {
        f"{package}/__init__.py": f'__version__ = "{version}"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: nothing\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = [f"{path},sha256={digest(text)},{len(text)}" for path, text in files.items()]
    with zipfile.ZipFile(folder / f"{package}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "\n".join([*records, f"{info}/RECORD,,"]) + "\n")


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def launch(
    extension: Path, host: Path, python: str = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    """install.py, whose Python finds packages in `host` before its own."""
    code = (
        "import runpy, sys; sys.path[:] = ['', sys.argv[1]] + [p for p in sys.path if 'packages' not in p];"
        # What Python loads by itself differs: the hook of an editable install brings pathlib.
        "sys.argv = [sys.argv[2]]; before = set(sys.modules); runpy.run_path(sys.argv[0], run_name='__main__');"
        "slow = {'subprocess', 'pathlib', 'torch', 'pip', 'importlib.metadata'};"
        "print('modules:', *sorted(slow & (set(sys.modules) - before)))"
    )
    command = [python, "-c", code, str(host), str(extension / "install.py")]
    quiet = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **quiet, **environment}, check=False
    )


def offline(wheels: Path) -> dict[str, str]:
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}


def private(extension: Path) -> Path:
    return extension / "private" / "site-packages"


def added(extension: Path) -> Path:
    return extension / "private" / "added-packages"


def test_all_packages_go_into_folders_of_the_extension_alone(extension: Path, host: Path, wheels: Path) -> None:
    done = launch(extension, host, **offline(wheels))
    assert done.returncode == 0, done.stderr
    assert "spandrel 0.4.2 installed" in done.stdout
    assert "resselt 1.4.1 installed" in done.stdout
    found = sorted(path.name for path in private(extension).glob("*.dist-info"))
    assert found == ["spandrel-0.4.2.dist-info", "spandrel_extra_arches-0.2.0.dist-info"]
    assert [path.name for path in added(extension).glob("*.dist-info")] == ["resselt-1.4.1.dist-info"]
    assert [path.name for path in host.iterdir()] == ["spandrel-0.3.4.dist-info"], "the host's pin has moved"
    assert sorted(path.name for path in (extension / "private").iterdir()) == ["added-packages", "site-packages"]


def test_the_second_launch_does_nothing(extension: Path, host: Path, wheels: Path) -> None:
    launch(extension, host, **offline(wheels))
    before = [folder(extension).stat().st_mtime_ns for folder in (private, added)]
    done = launch(extension, host, PIP_NO_INDEX="1")
    assert done.stdout.strip() == "modules:", "it imports nothing that takes time, and says nothing"
    assert [folder(extension).stat().st_mtime_ns for folder in (private, added)] == before


def test_a_host_that_is_new_enough_is_left_as_it_is(extension: Path, host: Path, wheels: Path) -> None:
    (host / "spandrel-0.3.4.dist-info").rename(host / "spandrel-0.10.0.dist-info")
    done = launch(extension, host, **offline(wheels))
    assert "spandrel" not in done.stdout
    assert not private(extension).exists()
    assert [path.name for path in added(extension).glob("*.dist-info")] == ["resselt-1.4.1.dist-info"]
    done = launch(extension, host, PIP_NO_INDEX="1")
    assert done.stdout.strip() == "modules:"


def test_an_extension_of_before_gets_what_was_added_since(extension: Path, host: Path, wheels: Path) -> None:
    launch(extension, host, **offline(wheels))
    shutil.rmtree(added(extension))
    done = launch(extension, host, **offline(wheels))
    assert "spandrel" not in done.stdout, "what is there is not fetched again"
    assert "resselt 1.4.1 installed" in done.stdout
    assert added(extension).is_dir()


def test_without_network_it_says_so_in_one_line(extension: Path, host: Path) -> None:
    done = launch(extension, host, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_EXTRA_INDEX_URL="")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if not line.startswith("modules:")]
    assert len(lines) == 1
    assert "could not be installed" in lines[0]
    assert done.stderr == ""
    assert list((extension / "private").iterdir()) == []


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """A Python without pip, as uv makes it."""
    venv.create(tmp_path / "bare", with_pip=False)
    return str(tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python")


def test_uv_serves_where_it_made_an_environment_without_pip(
    extension: Path, host: Path, wheels: Path, bare_python: str
) -> None:
    uv = shutil.which("uv", path=os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"])))
    if uv is None:
        pytest.skip("uv is not installed: pip install uv")
    path = os.pathsep.join((str(Path(uv).parent), os.environ["PATH"]))
    there = {"PATH": path, "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_NO_CONFIG": "1"}
    done = launch(extension, host, bare_python, **there)
    assert "0.4.2 installed" in done.stdout, done.stdout + done.stderr
    found = sorted(path.name for path in private(extension).glob("*.dist-info"))
    assert found == ["spandrel-0.4.2.dist-info", "spandrel_extra_arches-0.2.0.dist-info"]
    assert [path.name for path in host.iterdir()] == ["spandrel-0.3.4.dist-info"], "the host's pin has moved"

    shutil.rmtree(private(extension))
    done = launch(extension, host, bare_python, PATH=path, UV_INDEX_URL="http://127.0.0.1:9/simple", UV_NO_CONFIG="1")
    assert "could not be installed (no network)" in done.stdout


def test_without_pip_and_uv_it_says_so_in_one_line(extension: Path, host: Path, bare_python: str) -> None:
    done = launch(extension, host, bare_python, PATH=os.devnull)
    assert done.returncode == 0
    assert "has no pip, and uv was not found" in done.stdout
    assert done.stderr == ""


def test_an_older_private_version_is_replaced(extension: Path, host: Path, wheels: Path) -> None:
    (private(extension) / "spandrel-0.4.1.dist-info").mkdir(parents=True)
    launch(extension, host, **offline(wheels))
    names = {path.name for path in private(extension).iterdir()}
    assert "spandrel-0.4.2.dist-info" in names
    assert "spandrel-0.4.1.dist-info" not in names


class TestPreload:
    """preload.py, loaded from its path as the WebUI does."""

    @pytest.fixture
    def filled(self, extension: Path, host: Path, wheels: Path) -> Path:
        launch(extension, host, **offline(wheels))
        return extension

    def run(self, extension: Path, host: Path, before: str = "", after: str = "") -> str:
        code = (
            "import argparse, importlib.util, sys;"
            "sys.path[:] = [sys.argv[1]] + [p for p in sys.path if 'packages' not in p];"
            f"parser = argparse.ArgumentParser(); {before}\n"
            "spec = importlib.util.spec_from_file_location('preload.py', sys.argv[2]);"
            "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); module.preload(parser)\n"
            f"{after or 'import spandrel; print(spandrel.__version__)'}"
        )
        command = [sys.executable, "-c", code, str(host), str(extension / "preload.py")]
        # What the tests themselves were started with must not stand in for the extension's private folder.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def test_ours_is_imported_where_the_host_s_is_older(self, filled: Path, host: Path) -> None:
        (host / "spandrel").mkdir()
        (host / "spandrel" / "__init__.py").write_text('__version__ = "0.3.4"')
        assert self.run(filled, host) == "0.4.2"

    def test_a_newer_one_of_the_host_is_imported(self, filled: Path, host: Path) -> None:
        (host / "spandrel-0.3.4.dist-info").rename(host / "spandrel-0.5.0.dist-info")
        (host / "spandrel").mkdir()
        (host / "spandrel" / "__init__.py").write_text('__version__ = "0.5.0"')
        assert self.run(filled, host) == "0.5.0"

    def test_versions_are_never_mixed(self, filled: Path, host: Path) -> None:
        (host / "spandrel").mkdir()
        (host / "spandrel" / "__init__.py").write_text('__version__ = "0.3.4"')
        after = "import spandrel; print(spandrel.__version__, 'site-packages' in ' '.join(sys.path))"
        assert self.run(filled, host, before="import spandrel", after=after) == "0.3.4 False"

    @pytest.mark.parametrize("before", ["", "import spandrel"])
    def test_what_no_host_has_is_found_whatever_spandrel_is_used(self, filled: Path, host: Path, before: str) -> None:
        (host / "spandrel").mkdir()
        (host / "spandrel" / "__init__.py").write_text('__version__ = "0.3.4"')
        after = "import resselt; print(resselt.__version__, sys.path[-1].endswith('added-packages'))"
        assert self.run(filled, host, before=before, after=after) == "1.4.1 True"

    def test_the_option_for_hat_is_added_unless_it_is_there(self, extension: Path, host: Path) -> None:
        after = "print(parser.parse_args(['--hat-models-path', 'x']).hat_models_path)"
        assert self.run(extension, host, after=after) == "x"
        assert self.run(extension, host, before="parser.add_argument('--hat-models-path')", after=after) == "x"


def test_metadata_names_the_extension() -> None:
    import configparser

    config = configparser.ConfigParser()
    config.read(ROOT / "metadata.ini")
    assert config.get("Extension", "Name") == "upscale-plus"
