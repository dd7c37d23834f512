"""Which pictures a command line means, and where their results go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lib_upscale.cli.inputs import Output, find_jobs, output_place
from lib_upscale.errors import OutputError
from lib_upscale.image.io.formats import Format
from tests.cli.program import photo


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of pictures and other things, beside which the command runs."""
    for name in ("b.png", "a.jpg", "trip/a.jpg", "trip/deep/ß 写真 🙂.webp", ".thumbs/a.jpg", "trip/.hidden.png"):
        photo(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def results(inputs: list[str], out: str, **more: object) -> dict[str, str]:
    """What goes where."""
    place = output_place(inputs, out, str(more.get("suffix", "")), more.get("format"))  # type: ignore[arg-type]
    return {job.source.as_posix(): job.output.as_posix() for job in find_jobs(inputs, place).jobs}


class TestOutput:
    def test_one_file_goes_into_one_file(self, photos: Path) -> None:
        assert results(["photos/b.png"], "big/result.jpg") == {"photos/b.png": "big/result.jpg"}

    @pytest.mark.parametrize("out", ["big", "big.d", "big.png/"])
    def test_all_else_is_a_folder(self, photos: Path, out: str) -> None:
        assert results(["photos/b.png"], out) == {"photos/b.png": f"{out.rstrip('/')}/b.png"}

    def test_a_folder_is_one_whatever_it_is_called(self, photos: Path) -> None:
        Path("big.png").mkdir()
        assert results(["photos/b.png"], "big.png") == {"photos/b.png": "big.png/b.png"}

    def test_two_pictures_make_a_folder(self, photos: Path) -> None:
        assert set(results(["photos/b.png", "photos/a.jpg"], "x.png").values()) == {"x.png/b.png", "x.png/a.jpg"}

    def test_a_file_in_the_folders_place_is_an_error(self, photos: Path) -> None:
        with pytest.raises(OutputError, match="is a file, not a folder"):
            output_place(["photos"], "photos/notes.txt", "", None)

    def test_two_formats_for_one_file_are_an_error(self, photos: Path) -> None:
        with pytest.raises(OutputError, match="another format than jpg"):
            output_place(["photos/b.png"], "x.png", "", Format.JPEG)

    def test_a_format_that_cannot_be_written_is_an_error(self, photos: Path) -> None:
        with pytest.raises(OutputError, match="use one of"):
            output_place(["photos/b.png"], "x.tga", "", None)

    def test_names_take_the_suffix_and_the_format(self) -> None:
        place = Output(Path("out"), None, "-x4", Format.WEBP)
        assert place.path_for(Path("sub/a.b.JPG")) == Path("out/sub/a.b-x4.webp")

    @pytest.mark.parametrize(("name", "result"), [("a.JPG", "a.JPG"), ("a.tga", "a.png"), ("scan", "scan.png")])
    def test_without_a_format_each_keeps_its_own_if_it_can(self, name: str, result: str) -> None:
        assert Output(Path("out")).path_for(Path(name)) == Path("out") / result


class TestInputs:
    def test_a_folder_keeps_its_tree(self, photos: Path) -> None:
        assert results(["photos"], "out") == {
            "photos/a.jpg": "out/a.jpg",
            "photos/b.png": "out/b.png",
            "photos/trip/a.jpg": "out/trip/a.jpg",
            "photos/trip/deep/ß 写真 🙂.webp": "out/trip/deep/ß 写真 🙂.webp",
        }

    def test_a_pattern_keeps_the_tree_below_its_fixed_part(self, photos: Path) -> None:
        assert results(["photos/**/*.jpg"], "out") == {
            "photos/a.jpg": "out/a.jpg",
            "photos/trip/a.jpg": "out/trip/a.jpg",
        }

    def test_a_name_with_brackets_is_a_name_first(self, photos: Path) -> None:
        photo(photos / "[b].png")
        assert results(["photos/[b].png"], "out") == {"photos/[b].png": "out/[b].png"}

    def test_one_picture_named_twice_is_done_once(self, photos: Path) -> None:
        assert len(results(["photos", "photos/b.png", "photos/../photos"], "out")) == 4

    def test_results_among_the_sources_are_not_enlarged_again(self, photos: Path) -> None:
        photo(photos / "out" / "b.png")
        assert "photos/out/b.png" not in results(["photos"], "photos/out")

    def test_nor_are_those_beside_them(self, photos: Path) -> None:
        photo(photos / "b-x4.png")
        place = output_place(["photos"], "photos", "-x4", None)
        jobs = find_jobs(["photos"], place, lambda path: path.name == "b-x4.png").jobs
        assert "b-x4.png" not in [job.source.name for job in jobs]

    def test_what_gives_nothing_is_said(self, photos: Path) -> None:
        Path("empty").mkdir()
        work = find_jobs(["empty", "gone.png", "x*.png", "photos/b.png"], Output(Path("out")))
        assert [job.source for job in work.jobs] == [Path("photos/b.png")]
        assert dict(work.missing) == {
            "empty": "contains no images",
            "gone.png": "does not exist",
            "x*.png": "matches no image",
        }


class TestNothingIsLost:
    def test_two_pictures_of_one_name_take_that_of_their_folder(self, photos: Path) -> None:
        assert results(["photos/a.jpg", "photos/trip/a.jpg", "photos/b.png"], "out") == {
            "photos/a.jpg": "out/a-photos.jpg",
            "photos/trip/a.jpg": "out/a-trip.jpg",
            "photos/b.png": "out/b.png",
        }

    def test_two_of_one_format_take_their_own_ending(self, photos: Path) -> None:
        for name in ("b.webp", "B2.jpeg", "B2.jpg"):
            photo(photos / name)
        found = results(["photos"], "out", format=Format.JPEG)
        assert {source: found[source] for source in found if source[7] in "bB"} == {
            "photos/b.png": "out/b-png.jpg",
            "photos/b.webp": "out/b-webp.jpg",
            "photos/B2.jpeg": "out/B2-jpeg.jpg",
            "photos/B2.jpg": "out/B2.jpg",
        }

    def test_all_names_differ_in_the_end(self, photos: Path) -> None:
        inputs = []
        for name in ("x/p/a.png", "y/p/a.png", "x/p/a.jpg", "z/a-p.png", "z/a-jpg.png", "z/a-p-2.png"):
            inputs.append(str(photo(photos / name).relative_to(photos.parent)))
        found = results(inputs, "out", format=Format.PNG)
        assert len(set(found.values())) == len(inputs)
        assert found["photos/z/a-jpg.png"] == "out/a-jpg-z.png"

    def test_a_source_is_never_replaced(self, photos: Path) -> None:
        with pytest.raises(OutputError, match=r"would replace .*never overwritten"):
            results(["photos"], "photos")
        with pytest.raises(OutputError, match="would replace"):
            results(["photos/b.png"], "photos/b.png")
        assert results(["photos"], "photos", suffix="-x4")["photos/b.png"] == "photos/b-x4.png"

    def test_not_even_through_a_link(self, photos: Path) -> None:
        Path("out").symlink_to(photos, target_is_directory=True)
        with pytest.raises(OutputError, match="would replace"):
            results(["photos"], "out")
        os.link(photos / "b.png", photos / "hard.png")  # a result takes a link's place and leaves the other name alone
        assert results(["photos/b.png"], "photos/hard.png") == {"photos/b.png": "photos/hard.png"}

    def test_one_source_is_not_replaced_by_the_result_of_another(self, photos: Path) -> None:
        """The others are done."""
        photo(photos / "b.jpg")
        work = find_jobs(["photos/b.png", "photos/a.jpg", "photos/b.jpg"], Output(Path("photos"), format=Format.JPEG))
        assert [job.source.as_posix() for job in work.jobs] == ["photos/b.png"]
        assert [job.source.as_posix() for job, _ in work.refused] == ["photos/a.jpg", "photos/b.jpg"]
        assert "would replace the image photos/b.jpg, which is never overwritten" in work.refused[1][1]
