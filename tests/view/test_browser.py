"""The full page in a real browser: it renders, nothing is clipped or overlaps, a phone need not scroll sideways."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.view.example import full_page

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=3000",
]
WIDTHS = (1200, 390)
PROBE = """
function probe(frame) {
  const doc = frame.contentDocument, win = frame.contentWindow, all = s => [...doc.querySelectorAll(s)];
  const box = e => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; };
  const meets = (a, b) => a[0] < b[2] - 1 && b[0] < a[2] - 1 && a[1] < b[3] - 1 && b[1] < a[3] - 1;
  const overlaps = [], outside = [];
  for (const svg of all('svg[role=img]')) {
    const frameBox = box(svg.closest('figure'));
    const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, box(t)]);
    texts.forEach(([word, b], i) => {
      if (b[0] < frameBox[0] - 1 || b[2] > frameBox[2] + 1) outside.push(word);
      texts.slice(i + 1).forEach(([other, c]) => { if (meets(b, c)) overlaps.push([word, other]); });
    });
  }
  return {
    title: doc.title,
    scroll: doc.documentElement.scrollWidth, client: doc.documentElement.clientWidth,
    wide: all('main *').filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > win.innerWidth + 1)
      .map(e => e.tagName + '.' + e.className),
    scripts: doc.scripts.length, images: doc.images.length,
    steps: all('tr.step').map(e => [e.dataset.score, win.getComputedStyle(e.querySelector('.tx')).backgroundColor]),
    inside: all('tr.step').every(e => {
      const own = box(e.closest('.trace'));
      return [...e.children].map(box).every(b => b[0] >= own[0] && b[2] <= own[2]);
    }),
    labels: all('tr.step .lab').map(e => win.getComputedStyle(e).display),
    shown: win.getComputedStyle(doc.querySelector('main')).display,
    hostile: all('tr.step .t').map(e => e.textContent),
    badges: all('.badge').map(e => e.textContent),
    charts: all('svg[role=img]').map(e => e.getBoundingClientRect().width),
    smallest: Math.min(...all('svg[role=img] text').map(e => e.getBoundingClientRect().height)),
    overlaps: overlaps, outside: outside,
  };
}
addEventListener('load', () => {
  const found = [...document.querySelectorAll('iframe')].map(probe);
  document.getElementById('found').textContent = JSON.stringify(found);
});
"""


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    """What the browser measured at each width, and what it logged."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no headless Chromium here: apt-get update && apt-get install -y chromium")
    folder = tmp_path_factory.mktemp("browser")
    page = html.escape(full_page().render())
    frames = "".join(f'<iframe style="width:{w}px;height:2000px" srcdoc="{page}"></iframe>' for w in WIDTHS)
    wrapper = folder / "wrapper.html"
    wrapper.write_text(
        f"<!doctype html><meta charset=utf-8><script>{PROBE}</script><pre id=found></pre>{frames}",
        encoding="utf-8",
    )
    got = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", wrapper.as_uri()],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', got.stdout, re.DOTALL)
    assert found is not None, got.stderr
    return json.loads(html.unescape(found.group(1))), got.stderr


def test_nothing_reaches_the_console(looked_at: tuple[list[dict[str, Any]], str]):
    assert [line for line in looked_at[1].splitlines() if "CONSOLE" in line] == []


def test_no_width_needs_sideways_scrolling_of_the_page(looked_at: tuple[list[dict[str, Any]], str]):
    for found in looked_at[0]:
        assert found["shown"] != "none"
        assert found["scroll"] == found["client"]
        assert found["wide"] == []


def test_steps_are_colored_by_their_score(looked_at: tuple[list[dict[str, Any]], str]):
    for found in looked_at[0]:
        colors = dict(found["steps"])
        assert [score for score, _ in found["steps"][:4]] == ["0.97", "0.58", "0.31", "0.12"]
        assert len({colors[s] for s in ("0.97", "0.58", "0.31", "0.12", "–")}) == 5
        blue, orange = (_rgb(colors[s]) for s in ("0.97", "0.04"))
        assert blue[2] > blue[0] + 40
        assert orange[0] > orange[2] + 40
        assert found["inside"]


def test_scorers_have_columns_on_a_desk_and_labels_on_a_phone(looked_at: tuple[list[dict[str, Any]], str]):
    desk, phone = looked_at[0]
    assert set(desk["labels"]) == {"none"}
    assert "none" not in phone["labels"]


def test_hostile_steps_are_text_and_did_nothing(looked_at: tuple[list[dict[str, Any]], str]):
    for found in looked_at[0]:
        assert found["title"] == "Arithmetic world, a small run"
        assert (found["scripts"], found["images"]) == (0, 0)
        assert any(
            text.startswith("<script>document.title='owned'</script><img") for text in found["hostile"]
        )
        assert any("\\u0000" in text and "\\ud83d" in text for text in found["hostile"])
        assert found["badges"] == ["incorrect", "correct", "undecided"]


def test_chart_text_is_readable_and_neither_clipped_nor_overlapping(
    looked_at: tuple[list[dict[str, Any]], str],
):
    for found in looked_at[0]:
        assert len(found["charts"]) == 4
        assert min(found["charts"]) > 320
        assert found["smallest"] > 9
        assert found["overlaps"] == []
        assert found["outside"] == []


def _rgb(css: str) -> list[int]:
    return [int(v) for v in re.findall(r"\d+", css)[:3]]
