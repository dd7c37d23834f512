"""The list of a person's models: names, finding, refreshing, and what is kept on disk."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lib_upscale.errors import CancelledError, NotAnUpscalerError, UnknownModelError, UpscalePlusError
from lib_upscale.models.catalog import catalog as catalog_module
from lib_upscale.models.catalog import identity_cache
from lib_upscale.models.catalog.catalog import Catalog, unique_names
from lib_upscale.models.catalog.identity_cache import IdentityCache
from lib_upscale.models.identification import identifier
from lib_upscale.models.identity import Identity, Kind, NetworkFacts, SizeRequirements, TilingSupport
from lib_upscale.models.model_files import file_fingerprint, find_model_files
from lib_upscale.progress import Callback

ROOT = Path(__file__).resolve().parents[3]
FACTS = NetworkFacts(
    "SwinIR", "SwinIR", "SR", 4, 3, 3, ("64dim",), TilingSupport.DISCOURAGED, SizeRequirements(16, 8, True)
)


def upscaler(path: Path) -> Identity:
    return Identity(path, Kind.UPSCALER, "SwinIR", FACTS)


def lora(path: Path) -> Identity:
    return Identity(path, Kind.LORA, problem="is a LoRA, not an upscaler", advice="move it to models/Lora")


def known(cache: Path, *identities: Identity) -> None:
    """Files that were looked into before."""
    kept = IdentityCache(cache)
    for identity in identities:
        identity.path.parent.mkdir(parents=True, exist_ok=True)
        identity.path.write_bytes(b"weights")
        fingerprint = file_fingerprint(identity.path)
        assert fingerprint is not None
        kept.put(identity.path, fingerprint, identity)
    kept.save()


def names(catalog: Catalog) -> list[str]:
    return [entry.name for entry in catalog.entries()]


@pytest.fixture
def owned(tmp_path: Path) -> Catalog:
    """A few files that were looked into before: four upscalers and a LoRA."""
    folder = tmp_path / "models"
    stems = ("4x-UltraSharp", "4x_NMKD-Siax_200k", "RealESRGAN x4plus", "2x span")
    known(
        tmp_path / "cache.json",
        *(upscaler(folder / f"{stem}.pth") for stem in stems),
        lora(folder / "add-detail-xl.safetensors"),
    )
    return Catalog([folder], cache=tmp_path / "cache.json", bundled=False)


class TestFolders:
    def test_every_kind_of_model_file_is_given_and_nothing_else(self, tmp_path: Path) -> None:
        wanted = ["a.pth", "sub/b.SAFETENSORS", "sub/c.ckpt", "d.pth.crdownload", "e.onnx", "alone.bin", "pair.param"]
        for name in [*wanted, "pair.bin", "readme.txt", ".hidden/f.pth", "._a.pth", "preview.png"]:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert {path.relative_to(tmp_path).as_posix() for path in find_model_files([tmp_path])} == set(wanted)

    def test_a_folder_within_another_and_one_that_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a.pth").touch()
        folders = [tmp_path, tmp_path / "sub", tmp_path / "missing"]
        assert find_model_files(folders) == [tmp_path / "sub" / "a.pth"]

    def test_links_are_followed_once_and_never_in_a_circle(self, tmp_path: Path) -> None:
        store = tmp_path / "store"
        store.mkdir()
        (store / "a.pth").touch()
        folder = tmp_path / "models"
        folder.mkdir()
        links = {"circle": folder, "a link": store, "the same": store, "copy.pth": store / "a.pth"}
        for name, target in links.items():
            (folder / name).symlink_to(target, target_is_directory=target.is_dir())
        (store / "back").symlink_to(folder, target_is_directory=True)
        found = [path.relative_to(folder).as_posix() for path in find_model_files([folder])]
        assert found == ["copy.pth", "a link/a.pth"]

    def test_what_can_be_reached_without_a_link_is_listed_there(self, tmp_path: Path) -> None:
        (tmp_path / "z").mkdir()
        (tmp_path / "z" / "m.pth").touch()
        (tmp_path / "a").symlink_to(tmp_path / "z", target_is_directory=True)
        assert find_model_files([tmp_path]) == [tmp_path / "z" / "m.pth"]

    def test_a_broken_link_is_listed_with_its_reason(self, tmp_path: Path) -> None:
        (tmp_path / "gone.pth").symlink_to(tmp_path / "nowhere.pth")
        (entry,) = Catalog([tmp_path], bundled=False).entries()
        assert not entry.identity.usable
        assert entry.identity.problem


class TestNames:
    def test_two_files_of_one_name_are_told_apart_by_their_folder(self) -> None:
        paths = [Path("/m/ESRGAN/4x-Foo.pth"), Path("/m/other/4x-Foo.pth"), Path("/m/other/Bar.pth")]
        assert list(unique_names(paths, set()).values()) == ["4x-Foo (ESRGAN)", "4x-Foo (other)", "Bar"]

    def test_or_by_their_ending(self) -> None:
        paths = [Path("/m/4x-Foo.pth"), Path("/m/4x-Foo.safetensors")]
        assert list(unique_names(paths, set()).values()) == ["4x-Foo (pth)", "4x-Foo (safetensors)"]

    def test_whatever_the_order_and_however_unlucky_the_names_are(self) -> None:
        paths = [
            Path(path)
            for path in ("/a/x/m.pth", "/b/x/m.pth", "/b/x/m.pt", "/b/x/m (x).pth", "/b/m (pth).pth", "/c/Default.pth")
        ]
        first = unique_names(paths, {"Default"})
        assert len({*first.values(), "Default"}) == len(paths) + 1
        for order in itertools.permutations(paths):
            assert unique_names(order, {"Default"}) == first


class TestFind:
    @pytest.mark.parametrize(
        ("asked", "name"),
        [
            ("4x-UltraSharp", "4x-UltraSharp"),
            ("4X-ULTRASHARP", "4x-UltraSharp"),
            ("4x-ultrasharp.pth", "4x-UltraSharp"),
            ("4x nmkd siax 200K", "4x_NMKD-Siax_200k"),
            ("realesrgan_x4plus", "RealESRGAN x4plus"),
        ],
    )
    def test_a_name_needs_not_be_exact(self, owned: Catalog, asked: str, name: str) -> None:
        assert owned.find(asked).name == name

    def test_an_unknown_name_brings_the_nearest(self, owned: Catalog) -> None:
        with pytest.raises(UnknownModelError, match="did you mean") as caught:
            owned.find("4x-UltraShrap")
        assert caught.value.nearest[0] == "4x-UltraSharp"

    @pytest.mark.parametrize("name", ["", "\0", "x" * 5000, "zzzzzz"])
    def test_a_name_like_no_other_is_unknown_all_the_same(self, owned: Catalog, name: str) -> None:
        with pytest.raises(UnknownModelError):
            owned.find(name)

    def test_where_two_are_meant_both_are_named(self, tmp_path: Path) -> None:
        files = [tmp_path / "m" / "a" / "Foo.pth", tmp_path / "m" / "b" / "Foo.pth"]
        known(tmp_path / "cache.json", *(upscaler(file) for file in files))
        catalog = Catalog([tmp_path / "m"], cache=tmp_path / "cache.json", bundled=False)
        with pytest.raises(UnknownModelError, match=r"'Foo \(a\)' or 'Foo \(b\)'"):
            catalog.find("foo.pth")
        assert catalog.find("foo (B)").path == files[1]

    def test_a_path_is_found_too(self, owned: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        path = owned.find("2x span").path
        monkeypatch.chdir(path.parent)
        assert owned.find(str(path)).name == owned.find("2x span.pth").name == "2x span"

    def test_nothing_owned_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownModelError, match=r"no upscaler was found in .*empty"):
            Catalog([tmp_path / "empty"], bundled=False).find("4x-UltraSharp")

    def test_a_file_that_cannot_upscale_says_why(self, owned: Catalog) -> None:
        with pytest.raises(NotAnUpscalerError, match=r"is a LoRA.*models/Lora"):
            owned.find("add-detail-xl")


class TestCache:
    def test_what_is_kept_comes_back_unchanged(self, owned: Catalog) -> None:
        for entry in owned.entries():
            make = lora if "detail" in entry.name else upscaler
            assert entry.identity == make(entry.path)

    def test_known_files_are_listed_without_torch(self, owned: Catalog, tmp_path: Path) -> None:
        arguments = f"[Path({str(tmp_path / 'models')!r})], cache=Path({str(tmp_path / 'cache.json')!r}), bundled=False"
        code = (
            "import sys; from pathlib import Path; from lib_upscale.models.catalog.catalog import Catalog;"
            f"print(len(Catalog({arguments}).upscalers()), *({{'torch', 'spandrel', 'numpy'}} & set(sys.modules)))"
        )
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["4"], done.stderr

    @pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 1}', b"\xff\xfe", b"[" * 100_000])
    def test_a_damaged_cache_is_rebuilt(self, tmp_path: Path, damage: bytes) -> None:
        (tmp_path / "cache.json").write_bytes(damage)
        known(tmp_path / "cache.json", upscaler(tmp_path / "m" / "a.pth"))
        catalog = Catalog([tmp_path / "m"], cache=tmp_path / "cache.json", bundled=False)
        assert [entry.identity.usable for entry in catalog.entries()] == [True]

    def test_records_of_an_older_program_are_not_believed(self, owned: Catalog, tmp_path: Path) -> None:
        path = owned.find("2x span").path
        fingerprint = file_fingerprint(path)
        assert fingerprint is not None
        assert IdentityCache(tmp_path / "cache.json").get(path, fingerprint) is not None
        text = (tmp_path / "cache.json").read_text()
        version = text.split('"')[3]
        (tmp_path / "cache.json").write_text(text.replace(version, "of last year"))
        assert IdentityCache(tmp_path / "cache.json").get(path, fingerprint) is None

    def test_another_resselt_has_files_looked_at_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "resselt").mkdir()
        (tmp_path / "resselt" / "__init__.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)
        versions = set()
        for version in ("1.4.1", "1.5.0"):
            folder = tmp_path / f"resselt-{version}.dist-info"
            folder.mkdir()
            versions.add(identity_cache._version())
            folder.rmdir()
        assert len(versions) == 2

    def test_a_raised_version_drops_the_records(
        self, owned: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = owned.find("2x span").path
        fingerprint = file_fingerprint(path)
        assert fingerprint is not None
        assert IdentityCache(tmp_path / "cache.json").get(path, fingerprint) is not None
        monkeypatch.setattr(identity_cache, "IDENTITY_VERSION", identity_cache.IDENTITY_VERSION + 1)
        assert IdentityCache(tmp_path / "cache.json").get(path, fingerprint) is None

    def test_nothing_is_left_beside_the_file(self, owned: Catalog, tmp_path: Path) -> None:
        assert names(owned)
        assert {path.name for path in tmp_path.iterdir()} == {"cache.json", "models"}

    def test_one_damaged_record_costs_only_that_record(self, tmp_path: Path) -> None:
        files = [tmp_path / "m" / "a.pth", tmp_path / "m" / "b.pth"]
        known(tmp_path / "cache.json", *(upscaler(file) for file in files))
        text = (tmp_path / "cache.json").read_text()
        (tmp_path / "cache.json").write_text(text.replace('"upscaler"', '"no such kind"', 1))
        cache = IdentityCache(tmp_path / "cache.json")
        assert [cache.get(file, file_fingerprint(file) or ()) is None for file in files] == [True, False]

    def test_two_processes_do_not_lose_what_the_other_has_added(self, tmp_path: Path) -> None:
        first, second = IdentityCache(tmp_path / "c.json"), IdentityCache(tmp_path / "c.json")
        first.put(tmp_path / "a.pth", (1, 1), upscaler(tmp_path / "a.pth"))
        second.put(tmp_path / "b.pth", (1, 1), upscaler(tmp_path / "b.pth"))
        first.save()
        second.save()
        both = IdentityCache(tmp_path / "c.json")
        assert both.get(tmp_path / "a.pth", (1, 1))
        assert both.get(tmp_path / "b.pth", (1, 1))

    def test_a_folder_that_cannot_be_written_is_no_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        cache = IdentityCache(tmp_path / "file" / "cache.json")
        cache.put(tmp_path / "a.pth", (1, 1), upscaler(tmp_path / "a.pth"))
        cache.save()
        assert cache.get(tmp_path / "a.pth", (1, 1))

    def test_a_removed_file_is_forgotten(self, owned: Catalog, tmp_path: Path) -> None:
        owned.find("2x span").path.unlink()
        assert "2x span" in names(owned)
        assert "2x span" not in [entry.name for entry in owned.refresh()]
        assert "2x span.pth" not in (tmp_path / "cache.json").read_text()


class TestLookingIntoFiles:
    """With the real `identify`, on files that need no network."""

    def test_new_changed_and_removed_files_are_seen(self, tmp_path: Path) -> None:
        folder, cache = tmp_path / "models", tmp_path / "cache.json"
        folder.mkdir()
        catalog = Catalog([folder], cache=cache, bundled=False)
        assert catalog.entries() == ()
        file = folder / "new.pth"
        file.write_bytes(b"")
        assert catalog.entries() == ()
        (empty,) = catalog.refresh()
        assert empty.identity.kind is Kind.DAMAGED
        file.write_bytes(b"GGUF\x03\0\0\0" + bytes(64))
        (changed,) = catalog.refresh()
        assert changed.identity.kind is Kind.GGUF
        assert Catalog([folder], cache=cache, bundled=False).entries() == (changed,)
        file.unlink()
        assert catalog.refresh() == ()

    def test_a_path_outside_the_folders_is_looked_into(self, tmp_path: Path) -> None:
        file = tmp_path / "page.pth"
        file.write_text("<!DOCTYPE html><html><body>404</body></html>")
        with pytest.raises(UpscalePlusError, match=r"page\.pth"):
            Catalog([], bundled=False).find(str(file))

    def test_what_is_known_is_listed_while_the_rest_is_identified(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a.pth").write_bytes(b"")
        Catalog([tmp_path], cache=tmp_path / "cache.json", bundled=False).refresh()
        (tmp_path / "b.pth").write_bytes(b"")
        goes_on, original = threading.Event(), identifier.identify

        def identify(path: Path) -> Identity:
            goes_on.wait(30)
            return original(path)

        monkeypatch.setattr(identifier, "identify", identify)
        catalog = Catalog([tmp_path], cache=tmp_path / "cache.json", bundled=False)
        thread = threading.Thread(target=catalog.refresh)
        thread.start()
        while not catalog.known:
            time.sleep(0.01)
        assert [entry.name for entry in catalog.entries()] == ["a"]
        goes_on.set()
        thread.join(30)
        assert [entry.name for entry in catalog.entries()] == ["a", "b"]

    def test_a_file_that_comes_or_goes_is_seen_by_its_folder_alone(self, tmp_path: Path) -> None:
        (tmp_path / "below").mkdir()
        catalog = Catalog([tmp_path, tmp_path / "none"], bundled=False)
        assert not catalog.seems_unchanged()
        catalog.refresh()
        assert catalog.seems_unchanged()
        (tmp_path / "below" / "a.pth").write_bytes(b"")
        assert not catalog.seems_unchanged()
        catalog.refresh()
        assert catalog.seems_unchanged()
        (tmp_path / "none").mkdir()
        assert not catalog.seems_unchanged()

    def test_a_file_that_comes_while_the_folders_are_read_is_seen_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def find_and_add(folders: list[Path], visited: dict[str, int | None]) -> list[Path]:
            found = find_model_files(folders, visited)
            (tmp_path / "a.pth").write_bytes(b"")
            os.utime(tmp_path, ns=(1, 1))
            return found

        with monkeypatch.context() as patched:
            patched.setattr(catalog_module, "find_model_files", find_and_add)
            catalog = Catalog([tmp_path], bundled=False)
            assert not catalog.refresh()
        assert not catalog.seems_unchanged()

    def test_being_interrupted_keeps_what_is_known(self, tmp_path: Path) -> None:
        for name in ("a.pth", "b.pth", "c.pth"):
            (tmp_path / name).write_bytes(b"")
        told: list[str] = []
        stop = Callback(lambda _, text: told.append(text), lambda: len(told) == 2)
        catalog = Catalog([tmp_path], cache=tmp_path / "cache.json", bundled=False)
        with pytest.raises(CancelledError):
            catalog.refresh(stop)
        assert told == ["Identifying a.pth (1 of 3)", "Identifying b.pth (2 of 3)"]
        catalog.refresh(Callback(lambda _, text: told.append(text)))
        assert told[2:] == ["Identifying c.pth (1 of 1)"]
