"""The console page in a browser, for the tests that use it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TAB, ENTER, SPACE = "\ue004", "\ue007", "\ue00d"  # WebDriver's codes for keys
PHONE, DESKTOP = (390, 844), (1280, 900)
# What the page shows: elements that can be used, and the name that a screen reader says.
CONTROLS = """
return [...document.querySelectorAll('button, select, textarea, input, summary')].filter((one) => one.checkVisibility())
"""
TARGETS = """
return [...document.querySelectorAll('button, select, textarea, input, summary')]
  .filter((each) => each.checkVisibility())
  .map((each) => ['radio', 'checkbox'].includes(each.type) ? each.closest('label') : each)
  .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect().height, each.getBoundingClientRect().width])
  .filter(([, height, width]) => height < 44 || width < 44)
"""
# WCAG 2.2, success criterion 1.4.3: the contrast of each text with the colour behind it.
CONTRASTS = """
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const linear = (value) => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
const light = (color) => {
  const [r, g, b] = numbers(color).map((value) => linear(value / 255));
  return .2126 * r + .7152 * g + .0722 * b;
};
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const color = getComputedStyle(each).backgroundColor, [, , , alpha = 1] = numbers(color);
    if (alpha === 1) return color;
  }
  throw new Error('no ground');
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), poor = [];
let looked = 0;
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || !element.checkVisibility()) continue;
  looked += 1;
  const [high, low] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
  const contrast = (high + .05) / (low + .05);
  if (contrast < 4.5) poor.push([node.data.trim().slice(0, 40), contrast]);
}
return [looked, poor];
"""


class Page:  # pragma: no cover - as the tests
    """The console page, opened."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser
        self.show(*DESKTOP)
        allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": url}
        browser.execute_cdp_cmd("Browser.grantPermissions", allowed)
        # The page of the test before would go on asking its server, which is gone.
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get(url)
        self.wait(lambda: self.find("#clients li"))

    def show(self, width: int, height: int, *, scheme: str = "light") -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def run(self, script: str, *values: object) -> Any:
        return self.browser.execute_script(script, *values)

    def find(self, selector: str) -> list[Any]:
        found: list[Any] = self.browser.find_elements("css selector", selector)
        return found

    def one(self, selector: str) -> Any:
        (found,) = self.find(selector)
        return found

    def click(self, selector: str) -> None:
        # The driver scrolls to what is out of sight, but not to what is behind the header.
        self.run("arguments[0].scrollIntoView({block: 'center'})", self.one(selector))
        self.one(selector).click()

    def type(self, selector: str, text: str) -> None:
        self.one(selector).clear()
        self.one(selector).send_keys(text)

    def choose(self, selector: str, value: str) -> None:
        self.click(f"{selector} option[value='{value}']")

    def text(self, selector: str) -> str:
        return str(self.one(selector).text)

    @property
    def focused(self) -> Any:
        return self.browser.switch_to.active_element

    def wait(self, condition: Callable[[], object]) -> None:
        waiting = pytest.importorskip("selenium.webdriver.support.ui")
        waiting.WebDriverWait(self.browser, 60, poll_frequency=0.02).until(lambda _: condition())

    def refresh(self) -> None:
        """Let the page look for changes, as it does every two seconds."""
        self.browser.execute_async_script("refresh().then(arguments[0])")

    def get_token(self) -> dict[str, Any]:
        """Get a token, and return its claims."""
        self.run("$('got').hidden = true")
        self.click("#get button.main")
        self.wait(lambda: self.one("#got").is_displayed())
        claims: dict[str, Any] = self.run("return decoded($('token').textContent.split('.')[1])")
        return claims

    def check(self, token: str) -> dict[str, str]:
        """Paste *token*, and return the outcome of each check."""
        self.run("$('checked').hidden = true; $('pasted').value = arguments[0]", token)
        self.click("#check button")
        self.wait(lambda: self.one("#checked").is_displayed())
        names = self.run("return [...document.querySelectorAll('#failed .name')].map((each) => each.textContent)")
        rest = self.run(
            "return [...document.querySelectorAll('#rest-checks li')].map((each) => "
            "[...each.children].map((part) => part.textContent))"
        )
        return dict.fromkeys(names, "failed") | {name: outcome for outcome, name in rest}

    def copied_by(self, selector: str) -> str:
        """Press a button that copies, and return what is in the clipboard then."""
        self.click(selector)
        self.wait(lambda: self.text(selector) == "Copied")
        return str(self.browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])"))

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def shoot(self, name: str, panel: str | None = None) -> None:
        """Take a picture, of the whole page or from *panel* down, if pictures are wanted."""
        if folder := os.environ.get("CONSOLE_SCREENSHOTS"):
            self.run("scrollTo(0, arguments[0] ? document.querySelector(arguments[0]).offsetTop - 8 : 0)", panel)
            options: dict[str, Any] = {"captureBeyondViewport": panel is None}
            if panel is None:
                width, height = self.run("return [innerWidth, document.documentElement.scrollHeight]")
                options["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            shot = self.browser.execute_cdp_cmd("Page.captureScreenshot", options)
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
