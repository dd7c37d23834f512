"""What is replaced of a host for a while, and what is put on one generation's parameters."""

from __future__ import annotations

import contextlib
import copy
from types import SimpleNamespace
from typing import Any

import pytest

from lib_upscale.errors import SettingsError
from lib_upscale.webui.host import environment
from lib_upscale.webui.host.patching import Marks, option_set, replaced
from lib_upscale.webui.host.refuse import clear_failure, fail_at_start


class Generation:
    limit = 3
    script_args_value: tuple[object, ...] = ()

    def init(self) -> str:
        return "begun"

    def comment(self, text: str) -> None:
        vars(self).setdefault("comments", []).append(text)


class TestReplaced:
    def test_a_method_of_the_class_is_seen_again_afterwards(self) -> None:
        owner = Generation()
        with replaced(owner, "init", lambda: "ours"):
            assert owner.init() == "ours"
        assert owner.init() == "begun"
        assert vars(owner) == {}

    def test_an_attribute_of_the_object_has_its_value_again_even_after_an_error(self) -> None:
        owner: Any = SimpleNamespace(size=1)
        with contextlib.suppress(ValueError), replaced(owner, "size", 2):
            assert owner.size == 2
            raise ValueError
        assert owner.size == 1

    def test_an_attribute_that_was_not_there_goes(self) -> None:
        owner: Any = SimpleNamespace()
        with replaced(owner, "size", 2):
            assert owner.size == 2
        assert not hasattr(owner, "size")

    def test_a_property_that_its_class_sets_and_never_deletes_has_its_value_again(self) -> None:
        """ControlNet's `hint_cond` is one: what it has made of the hint is forgotten whenever it is set."""

        class Params:
            _hint, forgotten = "whole", 0

            @property
            def hint(self) -> str:
                return self._hint

            @hint.setter
            def hint(self, value: str) -> None:
                self._hint, self.forgotten = value, self.forgotten + 1

        owner = Params()
        with replaced(owner, "hint", "tile"):
            assert (owner.hint, owner.forgotten) == ("tile", 1)
        assert (owner.hint, owner.forgotten) == ("whole", 2)

    def test_one_within_the_other_is_undone_in_turn(self) -> None:
        owner: Any = SimpleNamespace(size=1)
        with replaced(owner, "size", 2):
            with replaced(owner, "size", 3):
                assert owner.size == 3
            assert owner.size == 2
        assert owner.size == 1


class TestOptionSet:
    def test_a_setting_that_was_at_its_default_is_so_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opts = SimpleNamespace(data={"kept": 1})
        monkeypatch.setattr(environment, "opts", lambda: opts)
        with option_set("kept", 2), option_set("unset", None):
            assert opts.data == {"kept": 2, "unset": None}
        assert opts.data == {"kept": 1}


class TestFailures:
    @pytest.fixture(autouse=True)
    def state(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        state = SimpleNamespace(job="scripts_txt2img", interrupted=False)
        monkeypatch.setattr(environment, "state", lambda: state)
        return state

    def test_on_the_page_a_run_ends_without_an_exception_and_says_why(self, state: SimpleNamespace) -> None:
        p: Any = Generation()
        fail_at_start(p, SettingsError("wrong", "mend it"), "a")
        state.job = "task(abc)"
        p.init()
        assert p.comments == ["wrong: mend it"]
        assert state.interrupted, "the host ends before its first batch"

    @staticmethod
    def run_by(module: str, state: SimpleNamespace) -> Any:
        """A generation that a script of that module in the Script dropdown runs, on the page."""
        p: Any = Generation()
        script = type("Script", (), {"__module__": module})()
        p.script_args_value = (3, "an axis")
        p.scripts_value = SimpleNamespace(selectable_scripts=[object(), object(), script])
        fail_at_start(p, SettingsError("wrong", "mend it"), "a")
        state.job = "task(abc)"
        return p

    def test_a_cell_of_a_plot_ends_without_images_and_the_next_one_is_drawn(self, state: SimpleNamespace) -> None:
        p = self.run_by("xyz_grid.py", state)
        p.init()
        assert p.comments == ["wrong: mend it"]
        assert p.n_iter == 0, "the host ends before its first batch"
        assert not state.interrupted

    def test_another_script_hears_of_it(self, state: SimpleNamespace) -> None:
        p = self.run_by("loopback.py", state)
        with pytest.raises(SettingsError, match="wrong"):
            p.init()
        assert not state.interrupted

    def test_the_first_error_is_shown_and_each_check_takes_back_its_own(self) -> None:
        p: Any = Generation()
        fail_at_start(p, SettingsError("first", "mend it"), "a")
        fail_at_start(p, SettingsError("second", "mend it"), "b")
        with pytest.raises(SettingsError, match="first"):
            p.init()
        clear_failure(p, "b")
        with pytest.raises(SettingsError, match="first"):
            p.init()
        clear_failure(p, "a")
        assert p.init() == "begun"

    def test_a_copy_that_is_looked_at_anew_begins(self) -> None:
        p: Any = Generation()
        p.init = lambda: "another extension's"
        fail_at_start(p, SettingsError("wrong", "mend it"), "a")
        other = copy.copy(p)
        clear_failure(other, "a")
        assert other.init() == "another extension's"
        with pytest.raises(SettingsError, match="wrong"):
            p.init()


class TestMarks:
    def test_a_mark_is_taken_once_and_a_copy_has_none(self) -> None:
        marks: Marks[dict[str, int]] = Marks()
        p = Generation()
        marks.put(p, {"tile": 1})
        assert marks.get(copy.copy(p)) is None
        assert marks.get(p) == {"tile": 1}
        assert marks.take(p) == {"tile": 1}
        assert marks.take(p) is None

    def test_what_is_gone_leaves_nothing_behind(self) -> None:
        marks: Marks[int] = Marks()
        for number in range(100):
            marks.put(Generation(), number)
        assert len(marks) == 0

    def test_objects_that_are_equal_are_told_apart(self) -> None:
        class Equal:
            __hash__ = None  # type: ignore[assignment]

            def __eq__(self, other: object) -> bool:
                return True

        marks: Marks[int] = Marks()
        one, other = Equal(), Equal()
        marks.put(one, 1)
        assert marks.take(other) is None
        assert marks.take(one) == 1
