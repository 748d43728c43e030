"""The page in a real browser: the slider moves, the table sorts, it zooms, and the console stays silent."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore.evaluation.report import Result, write_report
from restore.evaluation.scoring import EvaluationPlan

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe", "--window-size=1200,900",
)  # fmt: skip


class Browser:
    """A headless browser, driven by its DevTools protocol over a pair of pipes (its descriptors 3 and 4)."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        wiring = 'exec "$0" "$@" 3<&"$PIPE_IN" 4>&"$PIPE_OUT"'
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", wiring, program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            env=os.environ | {"PIPE_IN": str(theirs_in), "PIPE_OUT": str(theirs_out)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in), os.close(theirs_out)
        self._numbers, self._rest, self.session, self.console = itertools.count(1), b"", "", []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer of the browser; what it reports meanwhile is noted."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        os.write(
            self._out, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0"
        )
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _read(self, limit: float = 60) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], limit)
            assert ready, "the browser does not answer"
            part = os.read(self._in, 1 << 16)
            assert part, "the browser has gone"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        if message.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}:
            self.console.append(message)
        return message

    def open(self, path: Path) -> None:
        """Load a page."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        for _ in range(200):
            if self.run("document.readyState") == "complete" and self.run("location.protocol") == "file:":
                return
            time.sleep(0.05)
        raise AssertionError("the page does not load")

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Move, press or release the mouse."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1, **more)

    def key(self, name: str) -> None:
        """Press a key."""
        codes = {"ArrowRight": 39, "ArrowLeft": 37}
        for kind in ("keyDown", "keyUp"):
            text = {"text": name} if len(name) == 1 and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=name,
                windowsVirtualKeyCode=codes.get(name, ord(name[0])),
                **text,
            )

    def screenshot(self) -> np.ndarray:
        """Return what is seen, (H, W, 3) uint8."""
        data = base64.b64decode(self.call("Page.captureScreenshot")["data"])
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    def close(self) -> None:
        """End the browser."""
        os.close(self._out), os.close(self._in)
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def browser(result: Result, plan: EvaluationPlan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None or not Path("/bin/bash").exists():
        pytest.skip(f"there is no browser to open the page in (looked for {', '.join(BROWSERS)})")
    folder = tmp_path_factory.mktemp("page")
    write_report(result, folder, plan)
    opened = Browser(program, folder / "profile")
    try:
        opened.open(folder / "index.html")
        yield opened
    finally:
        opened.close()


@pytest.fixture(autouse=True)
def _silent(browser: Browser) -> Iterator[None]:
    yield
    browser.run("1")
    assert browser.console == [], browser.console


def stage(browser: Browser) -> tuple[float, float, float, float]:
    browser.run(
        "byId = (id) => document.getElementById(id);"
        "byId('stage').scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    return tuple(
        browser.run(
            "(() => { const b = byId('stage').getBoundingClientRect(); return [b.x, b.y, b.width, b.height] })()"
        )
    )


def split(browser: Browser) -> float:
    return float(browser.run("parseFloat(byId('handle').style.left)"))


def test_the_slider_follows_the_mouse_and_uncovers_the_other_image(browser: Browser) -> None:
    x, y, width, height = stage(browser)
    assert split(browser) == 50
    seen = []
    for share in (0.9, 0.1):
        browser.mouse("mousePressed", x + split(browser) / 100 * width, y + height / 2)
        browser.mouse("mouseMoved", x + share * width, y + height / 2)
        browser.mouse("mouseReleased", x + share * width, y + height / 2)
        assert split(browser) == pytest.approx(100 * share, abs=0.6)
        assert float(browser.run("byId('slide').value")) == pytest.approx(100 * share, abs=0.6)
        seen.append(browser.screenshot())
    middle = slice(int(y + height * 0.3), int(y + height * 0.7)), slice(int(x + width * 0.3), int(x + width * 0.7))
    assert (
        np.abs(seen[0][middle].astype(int) - seen[1][middle]).mean() > 1
    )  # left of the handle before, right of it after


def test_the_slider_follows_the_keyboard(browser: Browser) -> None:
    stage(browser)
    browser.run("byId('slide').value = 50; byId('slide').dispatchEvent(new Event('input')); byId('slide').focus()")
    browser.key("ArrowRight")
    browser.key("ArrowRight")
    assert 50 < split(browser) < 53
    browser.key("ArrowLeft")
    assert 50 < split(browser) < 52


def test_buttons_keys_and_a_double_click_zoom_and_dragging_moves(browser: Browser) -> None:
    x, y, width, height = stage(browser)
    transform = "byId('image-left').style.transform"
    browser.run("byId('zoom-in').click()")
    assert "scale(2)" in browser.run(transform) and browser.run("byId('zoom-level').textContent") == "2×"
    before = browser.run(transform)
    browser.mouse("mousePressed", x + width * 0.2, y + height * 0.5)
    browser.mouse("mouseMoved", x + width * 0.2 + 30, y + height * 0.5 + 10)
    browser.mouse("mouseReleased", x + width * 0.2 + 30, y + height * 0.5 + 10)
    assert browser.run(transform) != before
    assert browser.run(transform) == browser.run("byId('image-right').style.transform")
    browser.run("byId('stage').focus()")
    browser.key("+")
    assert "scale(4)" in browser.run(transform)
    browser.key("0")
    assert "scale(1)" in browser.run(transform) and "translate(0px, 0px)" in browser.run(transform)


def test_every_layer_of_every_entry_is_shown(browser: Browser) -> None:
    stage(browser)
    script = """(async () => {
      const seen = [];
      const row = byId('choose-row');
      for (const option of row.options) {
        row.value = option.value; row.onchange();
        for (let i = 0; i < byId('choose-role').children.length; i++) {
          byId('choose-role').children[i].click();
          for (const layer of byId('choose-right').options) {
            byId('choose-right').value = layer.value; byId('choose-right').onchange();
            await byId('image-right').decode();
            const texts = ['image-caption', 'tag-right'].map((id) => byId(id).textContent);
            seen.push([byId('image-right').naturalWidth, ...texts]);
          }
        }
      }
      return seen;
    })()"""
    seen = browser.run(script)
    assert len(seen) == 4 * 3 * 5 and all(width == 128 for width, _, _ in seen)
    assert {tag for _, _, tag in seen} == {"before", "after", "truth", "error before", "error after"}
    assert all("PSNR (native)" in caption and "→" in caption for _, caption, _ in seen)
    assert browser.run("byId('legend').hidden") is False


def column(browser: Browser, name: str) -> list[float]:
    script = f"""(() => {{
      const heads = [...document.querySelectorAll('#images-table th')];
      const at = heads.findIndex((h) => h.innerText.trim().startsWith({name!r}));
      return [...document.querySelectorAll('#images-table tbody tr')].map((row) => row.cells[at].innerText);
    }})()"""
    return [float(text) for text in browser.run(script)]


def test_the_table_sorts_by_any_column_both_ways(browser: Browser) -> None:
    press = (
        "[...document.querySelectorAll('#images-table th button')].find((b) => b.innerText.startsWith({!r})).click()"
    )
    assert len(column(browser, "gain")) == 20
    assert column(browser, "gain") == sorted(column(browser, "gain"), reverse=True)
    for name in ("PSNR before", "SSIM before"):
        browser.run(press.format(name))
        assert column(browser, name) == sorted(column(browser, name), reverse=True)
        browser.run(press.format(name))
        assert column(browser, name) == sorted(column(browser, name))
        order = "document.querySelector('#images-table th[aria-sort]')"
        assert browser.run(f"{order}.innerText.trim()").startswith(name)
        assert browser.run(f"{order}.getAttribute('aria-sort')") == "ascending"


def test_the_table_can_be_narrowed_and_switched_to_another_protocol(browser: Browser) -> None:
    stage(browser)
    native = column(browser, "PSNR before")
    browser.run("byId('table-protocol').value = '1'; byId('table-protocol').onchange()")
    assert column(browser, "PSNR before") != native
    browser.run("byId('table-search').value = 'COFF'; byId('table-search').oninput()")
    assert len(column(browser, "gain")) == 4
    browser.run("byId('table-row').value = '0'; byId('table-row').onchange()")
    assert len(column(browser, "gain")) == 1 and browser.run("byId('table-count').textContent") == "1 shown"


def test_nothing_is_wider_than_a_telephone_and_the_dark_page_is_dark(browser: Browser) -> None:
    media = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", features=media)
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    try:
        assert browser.run("document.documentElement.scrollWidth") <= 390
        browser.run("scrollTo({top: 0, behavior: 'instant'})")
        assert browser.screenshot()[5:300, 5:15].mean() < 60
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.call("Emulation.setEmulatedMedia", features=[])
