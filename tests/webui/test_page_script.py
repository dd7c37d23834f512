"""The page's own script, run by node: an answer is asked for once after many changes, and again for what came late."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.conftest import ROOT

PAGE = """
const asked = [], listeners = {};
globalThis.document = {
    addEventListener: (name, function_) => listeners[name] = function_,
    getElementById: (id) => id.endsWith('_ask') ? {click: () => asked.push(id)} : null,
};
const wait = (time) => new Promise((done) => setTimeout(done, time));
"""


def asked(story: str) -> list[str]:
    """The buttons that are pressed, in this order, while a story in JavaScript happens on a page."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node: the page's script is not run")
    script = (ROOT / "javascript" / "upscale_plus.js").read_text(encoding="utf-8")
    code = f"{PAGE}{script};(async () => {{ {story}; console.log(JSON.stringify(asked)); process.exit(0); }})()"
    done = subprocess.run([node, "-e", code], capture_output=True, check=True, text=True, timeout=30)
    found: list[str] = json.loads(done.stdout)
    return found


def test_many_changes_in_a_row_ask_once() -> None:
    story = "for (let n = 0; n < 35; n++) upscalePlus.changed('line'); await wait(400)"
    assert asked(story) == ["line_ask"]


def test_what_changes_before_the_answer_asks_again_after_it() -> None:
    story = """
        upscalePlus.changed('line'); await wait(300);
        upscalePlus.changed('line'); await wait(300);
        asked.push('answer'); upscalePlus.answered('line'); await wait(300);
        asked.push('answer'); upscalePlus.answered('line'); await wait(300)"""
    assert asked(story) == ["line_ask", "answer", "line_ask", "answer"]


def test_while_a_slider_is_dragged_the_line_follows_now_and_then() -> None:
    story = """
        const answer = setInterval(() => upscalePlus.answered('line'), 50);
        for (let n = 0; n < 50; n++) { upscalePlus.changed('line'); await wait(40); }
        clearInterval(answer); await wait(300)"""
    assert 2 <= len(asked(story)) <= 4


def test_a_number_that_is_emptied_counts_as_a_change() -> None:
    story = """
        upscalePlus.changed('line'); await wait(300); upscalePlus.answered('line');
        const target = (id) => ({closest: () => ({id})});
        listeners.input({target: target('line_width')}); await wait(300); upscalePlus.answered('line');
        listeners.input({target: target('other_width')}); await wait(300)"""
    assert asked(story) == ["line_ask", "line_ask"]
