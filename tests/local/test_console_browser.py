"""
The console page in headless Chromium, as somebody uses it.

Skipped where Chromium, its driver or selenium are missing. With `CONSOLE_SCREENSHOTS` naming a folder, pictures of it
are left there.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cognito_guard.local import LocalCognito, LocalPool, PoolKeys, serving

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TAB, ENTER = "\ue004", "\ue007"  # WebDriver's codes for keys
PHONE, DESKTOP = (375, 812), (1280, 900)

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


@pytest.fixture
def local(pool_keys: PoolKeys) -> LocalCognito:  # pragma: no cover - as the tests
    orders = LocalPool("eu-central-1_AbCdEf123", keys=pool_keys)
    orders.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Place orders"})
    orders.add_client(name="reader", client_id="reader", scopes=["orders/order.read"], secrets=["reader_" * 4])
    writer = orders.add_client(name="writer", scopes=["orders/order.read", "orders/order.write"])
    writer.add_secret()
    stock = LocalPool("us-east-1_GhIjKl456", keys=pool_keys)
    stock.add_resource_server("https://api.example/stock", {"read": "<b>Read</b> & count"})
    stock.add_client(name="counter", scopes=["https://api.example/stock/read"])
    return LocalCognito(orders, stock)


@pytest.fixture
def url(local: LocalCognito) -> Iterator[str]:  # pragma: no cover - as the tests
    with serving(local) as url:
        yield url


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:  # pragma: no cover - as the tests
    webdriver: Any = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in [*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:  # pragma: no cover - as the tests
    """The console page, opened."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser
        self.show(*DESKTOP)
        browser.get_log("browser")
        browser.get(url)
        self.wait(lambda: self.find("#clients li"))

    def show(self, width: int, height: int, *, scheme: str = "light") -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def find(self, selector: str) -> list[Any]:
        found: list[Any] = self.browser.find_elements("css selector", selector)
        return found

    def one(self, selector: str) -> Any:
        (found,) = self.find(selector)
        return found

    def click(self, selector: str) -> None:
        self.one(selector).click()

    def choose(self, selector: str, value: str) -> None:
        self.click(f"{selector} option[value='{value}']")

    def text(self, selector: str) -> str:
        return str(self.one(selector).text)

    def wait(self, condition: Callable[[], object]) -> None:
        waiting = pytest.importorskip("selenium.webdriver.support.ui")
        waiting.WebDriverWait(self.browser, 60, poll_frequency=0.02).until(lambda _: condition())

    def check(self, token: str) -> dict[str, str]:
        """Paste *token*, and return the outcome of each check."""
        self.browser.execute_script("checked.hidden = true; pasted.value = arguments[0]", token)
        self.click("#check button")
        self.wait(lambda: self.one("#checked").is_displayed())
        lines = [line.text.split("\n") for line in self.find("#checks li")]
        return {what: outcome for outcome, what, *_ in lines}

    def width(self) -> int:
        return int(self.browser.execute_script("return document.documentElement.scrollWidth"))

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Page]:  # pragma: no cover - as the tests
    page = Page(browser, url)
    yield page
    assert page.complaints() == []


# One class, so that one line leaves out of the coverage what does not run everywhere.
class TestTheConsolePage:  # pragma: no cover - skipped where there is no browser
    """What people do with it."""

    def test_a_token_is_two_clicks_away_with_its_claims_and_the_curl_line(
        self, page: Page, local: LocalCognito
    ) -> None:
        page.choose("#client", "reader")
        page.click("#get button")
        page.wait(lambda: page.one("#got").is_displayed())

        token = page.text("#token")
        assert '"client_id": "reader"' in page.text("#claims")
        assert '"scope": "orders/order.read"' in page.text("#claims")
        assert f'curl -i -H "Authorization: Bearer {token}"' in page.text("#curl")
        assert set(page.check(token).values()) == {"passed"}

    def test_the_curl_line_of_a_client_is_one_that_works(self, page: Page, url: str) -> None:
        page.choose("#client", "reader")
        page.click("#get button")
        page.wait(lambda: page.one("#got").is_displayed())

        assert page.text("#ask") == (
            f"curl -sS -u 'reader:{'reader_' * 4}' -d grant_type=client_credentials "
            f"--data-urlencode 'scope=orders/order.read' {url}/oauth2/token"
        )

    def test_users_tokens_have_names_and_groups(self, page: Page) -> None:
        page.click("input[value=user]")
        page.one("#groups").send_keys("admins, testers")
        page.click("#get button")
        page.wait(lambda: page.one("#got").is_displayed())

        assert '"username": "jane"' in page.text("#claims")
        assert "testers" in page.text("#claims")
        assert not page.one("#ask-part").is_displayed()

    def test_an_id_token_fails_the_check_of_its_use(self, page: Page) -> None:
        page.click("input[value=id]")
        page.click("#get button")
        page.wait(lambda: page.one("#got").is_displayed())

        outcomes = page.check(page.text("#token"))
        assert [what for what, outcome in outcomes.items() if outcome == "failed"] == ["token use"]
        assert outcomes["signature"] == "open"
        assert "claim_token_use" in page.text("#verdict")

    def test_each_thing_that_is_wrong_with_a_token_is_named(self, page: Page, local: LocalCognito) -> None:
        token = local.mint("orders/order.read", client_id="stranger", lifetime=-60)

        outcomes = page.check(token[:-8] + "AAAAAAAA")
        assert [what for what, outcome in outcomes.items() if outcome == "failed"] == ["client", "expiry", "signature"]
        assert set(page.check("Bearer no token at all").values()) == {"failed", "open"}
        assert not page.one("#inside").is_displayed()

    def test_keys_are_rotated_withdrawn_and_replaced(self, page: Page, local: LocalCognito) -> None:
        before = local.pool.keys.access.kid
        token = local.mint()

        page.click("#rotate")
        page.wait(lambda: len(page.find("#keys > li")) == 4)
        page.click(f"button[aria-label='Withdraw {before}']")
        page.wait(lambda: len(page.find("#keys > li")) == 3)
        page.click(f"button[aria-label='Replace {local.pool.keys.access.kid}']")

        assert page.check(token)["key"] == "failed"
        assert before not in {key["kid"] for key in local.jwks()["keys"]}

    def test_the_key_set_is_broken_and_mended(self, page: Page, local: LocalCognito, url: str) -> None:
        jwks = f"{url}/{local.pool.pool_id}/.well-known/jwks.json"

        page.choose("#fault-jwks", "error")
        page.wait(lambda: local.faults.jwks)
        assert httpx.get(jwks).status_code == 500
        page.choose("#fault-jwks", "none")
        page.wait(lambda: not local.faults.jwks)
        assert httpx.get(jwks).status_code == 200

    def test_the_last_requests_are_listed_as_they_come_and_nothing_in_them_is_markup(
        self, page: Page, url: str
    ) -> None:
        httpx.get(f"{url}/<img src=x onerror=document.title=1>")
        page.wait(lambda: page.find("#requests tbody tr"))

        assert "GET /<img src=x onerror=document.title=1>" in page.text("#requests")
        assert page.find("img") == []
        assert page.browser.title == "Local Cognito"

    def test_another_pool_has_other_clients_and_scopes(self, page: Page) -> None:
        page.choose("#pool", "us-east-1_GhIjKl456")

        assert "counter" in page.text("#clients")
        assert "https://api.example/stock/read\n<b>Read</b> & count" in page.text("#servers")

    def test_a_token_can_be_had_with_the_keyboard_alone(self, page: Page) -> None:
        for _ in range(20):
            page.browser.switch_to.active_element.send_keys(TAB)
            if page.browser.switch_to.active_element.text == "Get token":
                break
        page.browser.switch_to.active_element.send_keys(ENTER)

        page.wait(lambda: page.one("#got").is_displayed())

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
    def test_nothing_sticks_out_of_the_page(
        self, page: Page, local: LocalCognito, url: str, size: tuple[int, int], scheme: str
    ) -> None:
        page.show(*size, scheme=scheme)
        httpx.post(f"{url}/oauth2/token", auth=("reader", "reader_" * 4), data={"grant_type": "client_credentials"})
        page.click("#get button")
        page.wait(lambda: page.find("#requests tbody tr"))
        page.check(local.mint("orders/order.read", client_id="stranger", lifetime=-60))
        page.click("#inside summary")

        assert page.width() <= size[0]
        if folder := os.environ.get("CONSOLE_SCREENSHOTS"):
            shot = page.browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
            (Path(folder) / f"console-{size[0]}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
