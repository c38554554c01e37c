"""
Swagger UI in a real Chromium: it gets tokens from the local Cognito, and shows what the orders API answers to them.

Skipped without `chromium` and `chromedriver`. Swagger UI comes from a package, in the cache folder, since this browser
cannot go to where FastAPI's page gets it. Each test leaves a picture of how it ended in its temporary folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as condition
from selenium.webdriver.support.wait import WebDriverWait
from starlette.staticfiles import StaticFiles

from cognito_guard import CognitoGuard
from cognito_guard.local import LocalCognito, serving
from example_app.api import make_api
from example_app.pool import READER_ID, READER_SECRET, WRITER_ID, WRITER_SECRET, make_pool

pytestmark = pytest.mark.slow

SWAGGER_UI = "fastapi-offline==1.7.7"  # Swagger UI 5.32.6
READ, WRITE = "orders/order.read", "orders/order.write"
CHROMIUM = """
    --headless=new --no-sandbox --window-size=1200,1400 --no-first-run --disable-gpu --disable-dev-shm-usage
    --disable-quic --disable-sync --disable-background-networking --disable-component-update --no-proxy-server
"""

# In Swagger's dialog, the part of each scheme.
OAUTH2 = ".auth-container:has(.flow)"
BEARER = ".auth-container:not(:has(.flow))"


class Page:  # pragma: no cover - needs a browser
    """The documentation page, and what people do there."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self._browser = browser
        self._wait = WebDriverWait(browser, timeout=60)
        browser.get(url)

    def authorize(self, client_id: str, secret: str, *scopes: str) -> str:
        """Ask for a token with *scopes* ticked, and return what the dialog says to that."""
        self.open_dialog()
        self.find(f"{OAUTH2} [data-name=clientId]").send_keys(client_id)
        self.find(f"{OAUTH2} [data-name=clientSecret]").send_keys(secret)
        for scope in scopes:
            self.click(f"{OAUTH2} label[for^='{scope}-']")
        return self._submit(OAUTH2)

    def paste(self, token: str) -> str:
        """Hand in *token*, and return what the dialog says to that."""
        self.open_dialog()
        self.find(f"{BEARER} input").send_keys(token)
        return self._submit(BEARER)

    def log_out(self) -> None:
        self.open_dialog()
        self.click(f"{OAUTH2} [aria-label='Remove authorization']")
        self._close_dialog()

    def call(self, method: str, path: str) -> tuple[str, str]:
        """Try an operation out, and return status and body of the answer as they are shown."""
        operation = f".opblock-{method.lower()}:has([data-path='{path}'])"
        if self.texts(f"{operation} .btn-clear"):
            self.click(f"{operation} .btn-clear")
            self._wait.until_not(lambda _: self.texts(f"{operation} .btn-clear"))
        else:
            self.click(f"{operation} .opblock-summary-control")
            self.click(f"{operation} .try-out__btn")
        self.click(f"{operation} .execute")
        answer = f"{operation} .live-responses-table .response"
        return self.find(f"{answer} .response-col_status").text, self.find(f"{answer} code").text

    def open_dialog(self) -> None:
        self.click(".auth-wrapper > .authorize")

    def find(self, css: str) -> WebElement:
        """Return an element as soon as it can be seen, in the middle of the window if it can be there."""
        found = self._wait.until(condition.visibility_of_element_located((By.CSS_SELECTOR, css)))
        self._browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        return found

    def texts(self, css: str) -> list[str]:
        return [each.text for each in self._browser.find_elements(By.CSS_SELECTOR, css)]

    def click(self, css: str) -> None:
        self._wait.until(condition.element_to_be_clickable((By.CSS_SELECTOR, css))).click()

    def _submit(self, scheme: str) -> str:
        self.click(f"{scheme} .authorize")
        said = self.find(f"{scheme} h6, {scheme} .errors").text
        self._close_dialog()
        return said

    def _close_dialog(self) -> None:
        self.click(f"{BEARER} .btn-done")


@pytest.mark.timeout(300)
class TestSwaggerUI:  # pragma: no cover - needs a browser
    """The page of the orders API, on another origin than its Cognito."""

    def test_lets_a_client_do_what_its_scopes_grant(self, page: Page, cognito: LocalCognito) -> None:
        assert page.authorize(READER_ID, READER_SECRET) == "Authorized"
        assert page.call("GET", "/orders") == ("200", "[]")
        status, body = page.call("POST", "/orders")
        assert (status, "insufficient_scope" in body) == ("403", True)

        page.log_out()
        assert page.authorize(WRITER_ID, WRITER_SECRET) == "Authorized"
        status, body = page.call("POST", "/orders")
        assert (status, WRITER_ID in body) == ("201", True)

        asked = [(each.method, each.client_id) for each in cognito.requests if each.path == "/oauth2/token"]
        assert asked == [("OPTIONS", None), ("POST", READER_ID), ("POST", WRITER_ID)]

    def test_asks_for_the_scopes_that_are_ticked(self, page: Page) -> None:
        assert page.authorize(WRITER_ID, WRITER_SECRET, READ) == "Authorized"
        assert page.call("GET", "/orders")[0] == "200"
        assert page.call("POST", "/orders")[0] == "403"

    def test_says_why_there_is_no_token(self, page: Page) -> None:
        assert "invalid_client" in page.authorize(READER_ID, WRITER_SECRET)
        assert page.call("GET", "/orders")[0] == "401"

    def test_takes_a_pasted_token(self, page: Page, cognito: LocalCognito) -> None:
        assert page.paste(cognito.mint(READ, client_id=READER_ID)) == "Authorized"
        assert page.call("GET", "/orders")[0] == "200"
        assert page.call("POST", "/orders")[0] == "403"

    def test_locks_what_is_guarded(self, page: Page) -> None:
        page.find(".opblock")
        path = ".opblock-summary-path"
        assert page.texts(f".opblock:has(.authorization__btn) {path}") == ["/orders", "/orders", "/me"]
        assert page.texts(f".opblock:not(:has(.authorization__btn)) {path}") == ["/health"]

    def test_says_what_scopes_are_about(self, page: Page) -> None:
        page.open_dialog()
        page.find(f"{OAUTH2} .scopes")
        assert page.texts(f"{OAUTH2} .scopes .text") == [f"{READ}\nRead orders", f"{WRITE}\nPlace orders"]

    @pytest.fixture
    @staticmethod
    def page(cognito: LocalCognito, browser: Chrome, assets: str, tmp_path: Path) -> Iterator[Page]:
        with serving(cognito) as cognito_url:
            guard = CognitoGuard(cognito.user_pool(cognito_url))
            api = make_api(guard)

            @api.get("/offline", include_in_schema=False)
            @guard.public
            async def offline() -> HTMLResponse:
                return get_swagger_ui_html(
                    openapi_url="/openapi.json",
                    title="Orders",
                    swagger_js_url=f"{assets}/swagger-ui-bundle.js",
                    swagger_css_url=f"{assets}/swagger-ui.css",
                    swagger_favicon_url=f"{assets}/favicon.png",
                )

            with serving(api) as url:
                yield Page(browser, f"{url}/offline")
                browser.save_screenshot(str(tmp_path / "page.png"))

    @pytest.fixture
    @staticmethod
    def cognito() -> LocalCognito:
        cognito = LocalCognito(make_pool())
        cognito.jwks()  # makes the keys, which takes longer than a guard that starts would like to wait
        return cognito

    @pytest.fixture(scope="class")
    @staticmethod
    def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip("chromium and chromedriver are not installed")
        options = ChromeOptions()
        options.binary_location = chromium
        for flag in CHROMIUM.split():
            options.add_argument(flag)
        options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
        with Chrome(options, ChromeService(driver)) as browser:
            yield browser

    @pytest.fixture(scope="class")
    @staticmethod
    def assets() -> Iterator[str]:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = cache / "cognito-guard" / SWAGGER_UI
        static = folder / "fastapi_offline" / "static"
        if not static.exists():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--retries=1", "--no-deps", "--upgrade"]
            command += ["--target", str(folder), SWAGGER_UI]
            try:
                subprocess.run(command, capture_output=True, text=True, check=True)
            except subprocess.CalledProcessError as error:
                reason = f"Swagger UI cannot be installed: {error} {error.stderr}"
                if os.environ.get("CI"):
                    pytest.fail(reason)
                pytest.skip(reason)
        with serving(StaticFiles(directory=static)) as url:
            yield url
