"""
The console page in headless Chromium, as somebody uses it.

Skipped where Chromium, its driver or selenium are missing. With `CONSOLE_SCREENSHOTS` naming a folder, the pictures of
the documentation are left there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.local import Fault, LocalCognito, LocalPool, PoolKeys, serving
from cognito_guard.local._flaws import FLAWS
from tests.local.console_page import CONTRASTS, CONTROLS, DESKTOP, ENTER, PHONE, SPACE, TAB, TARGETS, Page

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
LOGISTICS = "https://api.example.com/logistics/v2"

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


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Page]:  # pragma: no cover - as the tests
    page = Page(browser, url)
    yield page
    assert page.complaints() == []


def ask_for_token(url: str, scope: str | None = None) -> None:  # pragma: no cover - as the tests
    data = {"grant_type": "client_credentials"} | ({} if scope is None else {"scope": scope})
    httpx.post(f"{url}/oauth2/token", auth=("reader", "reader_" * 4), data=data)


def expired(local: LocalCognito) -> str:  # pragma: no cover - as the tests
    return local.mint("orders/order.read", client_id="reader", lifetime=-60)


# One class, so that one line leaves out of the coverage what does not run everywhere.
class TestTheConsolePage:  # pragma: no cover - skipped where there is no browser
    """What people do with it."""

    # Getting a token

    def test_a_token_is_two_clicks_away_with_its_claims_and_the_curl_line(
        self, page: Page, local: LocalCognito
    ) -> None:
        page.choose("#client", "reader")
        page.get_token()

        token = page.text("#token")
        assert '"client_id": "reader"' in page.text("#claims")
        assert '"scope": "orders/order.read"' in page.text("#claims")
        assert f'curl -i -H "Authorization: Bearer {token}"' in page.run("return $('curl').textContent")
        assert not page.one("#flawed").is_displayed()
        assert set(page.check(token).values()) == {"passed"}

    def test_the_curl_line_of_a_client_works(self, page: Page, url: str) -> None:
        page.choose("#client", "reader")
        page.get_token()

        assert page.text("#ask") == (
            f"curl -sS -u 'reader:{'reader_' * 4}' -d grant_type=client_credentials "
            f"--data-urlencode 'scope=orders/order.read' {url}/oauth2/token"
        )

    def test_users_tokens_have_names_and_groups(self, page: Page) -> None:
        page.click("input[value=user]")
        page.type("#groups", "admins, testers")
        claims = page.get_token()

        assert (claims["username"], claims["cognito:groups"]) == ("jane", ["admins", "testers"])
        assert not page.one("#ask-part").is_displayed()

    def test_an_id_token_fails_the_check_of_its_use(self, page: Page) -> None:
        page.click("input[value=id]")
        page.get_token()

        assert page.text("#flawed") == "An API must refuse this token: ID token"
        outcomes = page.check(page.text("#token"))
        assert [what for what, outcome in outcomes.items() if outcome == "failed"] == ["token use"]
        assert outcomes["signature"] == "not reached"
        assert "claim_token_use" in page.text("#failed")

    def test_a_token_with_every_scope_unticked_has_none(self, page: Page) -> None:
        page.choose("#client", "reader")
        page.click("#scopes input")

        assert "scope" not in page.get_token()
        assert not page.one("#ask-part").is_displayed()

    def test_what_was_ticked_and_typed_stays_while_the_page_keeps_up(self, page: Page, local: LocalCognito) -> None:
        page.choose("#client", "reader")
        page.click("#scopes input")
        page.type("#other-scopes", "a/b")
        local.pool.add_client(name="new", scopes=["orders/order.read"])
        page.wait(lambda: "new" in page.text("#clients"))

        assert page.get_token()["scope"] == "a/b"

    def test_the_scopes_of_another_client_are_ticked_again(self, page: Page) -> None:
        page.choose("#client", "reader")
        page.click("#scopes input")
        page.choose("#client", page.find("#client option")[1].get_attribute("value"))

        assert page.get_token()["scope"].split() == ["orders/order.write", "orders/order.read"]

    def test_a_token_has_the_lifetime_and_the_scopes_that_were_chosen(self, page: Page) -> None:
        page.choose("#client", "reader")
        page.type("#lifetime", "90")
        page.type("#other-scopes", "made/up any/thing")
        claims = page.get_token()

        assert claims["exp"] - claims["iat"] == 90
        assert set(claims["scope"].split()) == {"orders/order.read", "made/up", "any/thing"}
        assert not page.one("#ask-part").is_displayed()

    @pytest.mark.parametrize("flaw", FLAWS)
    def test_a_token_with_a_flaw_is_made_by_name_and_refused_for_it(self, page: Page, flaw: str) -> None:
        page.choose("#flaw", flaw)
        page.get_token()
        token = page.run("return $('token').textContent")

        assert page.text("#flawed") == f"An API must refuse this token: {FLAWS[flaw].label}"
        assert [*page.check(token).values()].count("failed") == 1
        assert f"({FLAWS[flaw].reason})" in page.text("#failed")

    def test_a_token_can_be_made_with_the_keyboard_only(self, page: Page) -> None:
        for _ in range(30):
            page.focused.send_keys(TAB)
            if page.focused.text == "Get token":
                break
        page.focused.send_keys(ENTER)

        page.wait(lambda: page.one("#got").is_displayed())

    # Checking a token

    def test_each_flaw_of_a_token_is_named(self, page: Page, local: LocalCognito) -> None:
        token = local.mint("orders/order.read", client_id="stranger", lifetime=-60)

        outcomes = page.check(token[:-8] + "AAAAAAAA")
        assert [what for what, outcome in outcomes.items() if outcome == "failed"] == ["client", "expiry", "signature"]
        assert set(page.check("Bearer no token at all").values()) == {"failed", "not reached"}
        assert not page.one("#inside").is_displayed()

    def test_a_failed_check_shows_what_was_found_and_the_passed_ones_are_counted(
        self, page: Page, local: LocalCognito
    ) -> None:
        page.check(local.mint(client_id="stranger"))

        assert '"stranger"' in page.text("#failed dd:nth-of-type(1)")
        assert '"reader" or ' in page.text("#failed dd:nth-of-type(2)")
        assert page.text("#rest-count") == "8 checks passed"
        assert page.find("#rest-checks li")[0].is_displayed() is False
        page.click("#rest-count")
        assert page.find("#rest-checks li")[0].is_displayed() is True

    def test_the_check_of_a_good_token_has_two_lines(self, page: Page, local: LocalCognito) -> None:
        page.check(local.mint())

        assert page.text("#verdict") == "Accepted. Its scopes decide what it may do."
        assert page.text("#rest-count") == "9 checks passed"
        assert page.text("#failed") == ""

    def test_checks_that_were_not_reached_are_counted(self, page: Page, local: LocalCognito) -> None:
        page.check(local.mint(token_use="id"))

        assert page.text("#rest-count") == "3 checks passed, 5 checks not reached"

    # Copying

    def test_ids_and_secrets_are_copied(self, page: Page) -> None:
        assert page.copied_by("button[aria-label='Copy id of reader']") == "reader"
        assert page.copied_by("button[aria-label='Copy secret of reader']") == "reader_" * 4
        assert page.text("#announcer") == "Copied."

    def test_the_newer_of_two_secrets_is_copied(self, page: Page, local: LocalCognito) -> None:
        assert page.copied_by("button[aria-label='Copy secret of writer']") == local.pool.clients[1].secret

    def test_the_env_of_a_client_gets_a_token(self, page: Page) -> None:
        copied = page.copied_by("button[aria-label='Copy .env of reader']")
        variables = dict(line.split("=", 1) for line in copied.splitlines())
        answer = httpx.post(
            variables["COGNITO_TOKEN_URL"],
            auth=(variables["COGNITO_CLIENT_ID"], variables["COGNITO_CLIENT_SECRET"]),
            data={"grant_type": "client_credentials"},
        )

        assert answer.status_code == 200

    @pytest.mark.parametrize("issuer", [None, "https://issuer.example/own"])
    def test_the_env_of_a_pool_sets_up_a_guard_of_it(
        self, browser: Any, pool_keys: PoolKeys, issuer: str | None
    ) -> None:
        pool = LocalPool("eu-central-1_AbCdEf123", issuer=issuer, keys=pool_keys)
        pool.add_resource_server("orders", {"order.read": "Read orders"})
        pool.add_client(name="reader", client_id="reader", scopes=["orders/order.read"])
        with serving(LocalCognito(pool)) as url:
            copied = Page(browser, url).copied_by("#copy-env")
            guard = CognitoGuard(UserPool.from_env(dict(line.split("=", 1) for line in copied.splitlines())))

            assert anyio.run(guard.verify, pool.mint()).client_id == "reader"

    def test_copying_works_where_the_browser_has_no_clipboard_for_pages(self, page: Page) -> None:
        # As at http://192.168.1.2:9229: no secure context.
        page.run("Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})")
        page.click("button[aria-label='Copy id of reader']")
        page.wait(lambda: page.text("button[aria-label='Copy id of reader']") == "Copied")
        page.run("delete navigator.clipboard")

        assert page.browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])") == "reader"
        assert page.focused.get_attribute("aria-label") == "Copy id of reader"

    # Clients and scopes

    def test_a_client_is_added_and_chosen(self, page: Page, local: LocalCognito) -> None:
        page.click("#add-client-part summary")
        page.type("#client-name", "nightly export")
        page.type("#client-validity", "600")
        page.click("#client-scopes input[value='orders/order.write']")
        page.click("#add-client button.main")
        page.wait(lambda: "nightly export" in page.text("#clients"))

        claims = page.get_token()
        added = local.pool.clients[-1]
        assert (added.name, added.scopes, added.access_token_validity) == (
            "nightly export",
            ("orders/order.read",),
            600,
        )
        assert (claims["client_id"], claims["exp"] - claims["iat"]) == (added.client_id, 600)
        assert not page.one("#add-client").is_displayed()

    def test_a_scope_is_added_and_can_be_given_to_a_client(self, page: Page, local: LocalCognito) -> None:
        page.click("#add-scope-part summary")
        page.type("#scope-server", LOGISTICS)
        page.type("#scope-name", "track")
        page.type("#scope-description", "Track shipments")
        page.click("#add-scope button.main")
        page.wait(lambda: "Track shipments" in page.text("#servers"))
        page.click("#add-client-part summary")

        assert f"{LOGISTICS}/track" in local.pool.scopes
        assert f"{LOGISTICS}/track" in page.text("#client-scopes")
        assert page.text("#announcer") == f"The scope {LOGISTICS}/track was added."

    def test_an_error_is_shown_beside_its_form(self, page: Page) -> None:
        page.click("#add-scope-part summary")
        page.type("#scope-server", "orders")
        page.type("#scope-name", "order.read")
        page.click("#add-scope button.main")
        page.wait(lambda: page.one("#add-scope-error").is_displayed())

        assert page.text("#add-scope-error") == "The scope orders/order.read exists already."
        assert page.one("#scope-name").get_attribute("value") == "order.read"
        assert all("400" in complaint for complaint in page.complaints())

    def test_another_pool_has_other_clients_and_scopes(self, page: Page) -> None:
        page.choose("#pool", "us-east-1_GhIjKl456")

        assert "counter" in page.text("#clients")
        assert "<b>Read</b> & count\nhttps://api.example/stock/read" in page.text("#servers")

    # Keys and faults

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

    @pytest.mark.parametrize("action", ["Withdraw", "Replace"])
    def test_what_was_done_to_a_key_is_undone_with_the_next_key_press(
        self, page: Page, local: LocalCognito, action: str
    ) -> None:
        before, token = local.jwks(), local.mint()
        button = page.one(f"button[aria-label='{action} {local.pool.keys.access.kid}']")
        page.run("arguments[0].focus()", button)
        button.send_keys(SPACE)
        page.wait(lambda: page.one("#undo").is_displayed())
        assert local.jwks() != before
        page.run("$('undo-button').focus()")
        page.focused.send_keys(SPACE)
        page.wait(lambda: not page.one("#undo").is_displayed())

        assert local.jwks() == before
        assert set(page.check(token).values()) == {"passed"}
        assert page.focused.tag_name == "button"

    def test_the_key_set_is_broken_and_repaired(self, page: Page, local: LocalCognito, url: str) -> None:
        jwks = f"{url}/{local.pool.pool_id}/.well-known/jwks.json"

        page.choose("#fault-jwks", "error")
        page.wait(lambda: local.faults.jwks)
        assert httpx.get(jwks).status_code == 500
        page.choose("#fault-jwks", "none")
        page.wait(lambda: not local.faults.jwks)
        assert httpx.get(jwks).status_code == 200

    def test_an_active_fault_is_in_the_header_and_lifted_there(self, page: Page, local: LocalCognito) -> None:
        local.faults.token = Fault(status=503, delay=0.5)
        page.refresh()
        page.wait(lambda: page.find("#active-faults li"))

        assert page.text("#active-faults span") == "Token endpoint: answers 503 after 0.5 s"
        assert page.text("#fault-token option:checked") == "Answers 503 after 0.5 s"
        assert page.browser.title == "Fault active · Local Cognito"
        page.click("#active-faults button")
        page.wait(lambda: not page.find("#active-faults li"))
        assert local.faults.token is None
        assert page.text("#fault-token option:checked") == "Works"

    def test_the_page_says_that_the_stand_in_is_gone_and_that_it_is_back(
        self, browser: Any, local: LocalCognito
    ) -> None:
        with serving(local) as url:
            page = Page(browser, url)
            assert not page.one("#gone").is_displayed()
        page.wait(lambda: page.one("#gone").is_displayed())
        assert page.text("#gone").startswith("The stand-in does not answer. Is it still running? This page shows what")
        page.click("#get button.main")
        page.wait(lambda: page.one("#get-error").is_displayed())
        assert "does not answer" in page.text("#get-error")
        with serving(local, port=int(url.rpartition(":")[2])):
            page.wait(lambda: not page.one("#gone").is_displayed())
            browser.get("about:blank")
        assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in page.complaints())

    # The last requests

    def test_the_last_requests_are_listed_as_they_come_and_nothing_in_them_is_markup(
        self, page: Page, url: str
    ) -> None:
        httpx.get(f"{url}/<img src=x onerror=document.title=1>")
        page.wait(lambda: page.find("#requests tbody tr"))

        assert "GET /<img src=x onerror=document.title=1>" in page.text("#requests")
        assert page.find("img") == []
        assert page.browser.title == "Local Cognito"

    def test_a_refused_request_shows_the_reason(self, page: Page, url: str) -> None:
        ask_for_token(url, "orders/<b>nope</b>")
        page.wait(lambda: page.find("#requests .reason"))

        assert "orders/<b>nope</b>" in page.text("#requests .reason")

    def test_only_errors_can_be_shown(self, page: Page, url: str) -> None:
        ask_for_token(url)
        page.refresh()
        page.wait(lambda: page.find("#requests tbody tr"))
        page.click("#only-errors")
        assert page.text("#no-requests") == "No errors."
        ask_for_token(url, "orders/nope")
        ask_for_token(url)
        page.refresh()
        page.wait(lambda: page.find("#requests tbody tr"))

        assert "400" in page.text("#requests tbody")
        assert len(page.find("#requests tbody tr")) == 1

    def test_the_first_request_can_be_copied(self, page: Page, url: str) -> None:
        assert (
            page.text("#first")
            == f"curl -sS -u 'reader:{'reader_' * 4}' -d grant_type=client_credentials {url}/oauth2/token"
        )
        ask_for_token(url)
        page.refresh()
        page.wait(lambda: not page.one("#first").is_displayed())

    def test_what_is_selected_stays_selected_while_requests_come_in(self, page: Page, url: str) -> None:
        ask_for_token(url)
        page.wait(lambda: page.find("#requests tbody tr"))
        page.run("getSelection().selectAllChildren(document.querySelector('#requests tbody code'))")
        row, client = page.one("#requests tbody tr"), page.find("#clients > li")[0]
        ask_for_token(url)
        page.wait(lambda: len(page.find("#requests tbody tr")) == 2)

        assert page.run("return getSelection().toString()") == "POST /oauth2/token"
        assert page.find("#requests tbody tr")[1] == row
        assert page.find("#clients > li")[0] == client

    def test_details_stay_open_when_their_client_changes(self, page: Page, local: LocalCognito) -> None:
        page.click("button[aria-label='Details of reader']")
        local.pool.clients[0].add_secret("second_" * 4)
        page.refresh()
        page.wait(lambda: "second_" in page.text("#clients > li:first-child"))

        assert page.one("button[aria-label='Details of reader']").get_attribute("aria-expanded") == "true"

    # How it looks

    @pytest.mark.parametrize("height", [720, 900])
    def test_the_last_requests_are_seen_without_scrolling_with_eight_clients(
        self, page: Page, local: LocalCognito, url: str, height: int
    ) -> None:
        for number in range(6):
            local.pool.add_client(name=f"client {number}", scopes=["orders/order.read"])
        for _ in range(30):
            ask_for_token(url)
        page.show(1280, height)
        page.wait(lambda: len(page.find("#requests tbody tr")) == 30)

        top, bottom = page.run("const box = $('requests-panel').getBoundingClientRect(); return [box.top, box.bottom]")
        assert 0 < top < bottom < height
        assert len(page.find("#clients > li")) == 8

    def test_nothing_moves_when_a_request_comes_in(self, page: Page, url: str) -> None:
        before = page.one("#clients").location
        for _ in range(12):
            ask_for_token(url)
        page.refresh()
        page.wait(lambda: len(page.find("#requests tbody tr")) == 12)

        assert page.one("#clients").location == before

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [320, 390, 768, 1280])
    def test_nothing_overflows_and_all_text_is_readable(
        self, page: Page, local: LocalCognito, url: str, width: int, scheme: str
    ) -> None:
        page.show(width, 844, scheme=scheme)
        local.pool.add_resource_server(LOGISTICS, {"shipments.write": "Create and change shipments", "x" * 200: "Long"})
        local.pool.add_client(name="n" * 100, scopes=[f"{LOGISTICS}/shipments.write", f"{LOGISTICS}/{'x' * 200}"])
        local.faults.jwks = Fault(status=500)
        ask_for_token(url)
        ask_for_token(url, "orders/nope")
        page.refresh()
        page.wait(lambda: len(page.find("#requests tbody tr")) == 2)
        page.wait(lambda: len(page.find("#client option")) == 3)
        page.choose("#client", local.pool.clients[-1].client_id)
        page.choose("#flaw", "expired")
        page.get_token()
        page.check(local.mint("orders/order.read", client_id="stranger", lifetime=-60))
        for selector in ("#inside summary", "#rest-count", "#add-client-part summary", "#add-scope-part summary"):
            page.click(selector)
        page.click(f"button[aria-label='Withdraw {local.pool.keys.access.kid}']")
        page.refresh()
        page.wait(lambda: page.one("#undo").is_displayed())
        for client in local.pool.clients:
            page.click(f"button[aria-label='Details of {client.name}']")

        looked, poor = page.run(CONTRASTS)
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert looked > 100
        assert poor == []

    def test_controls_on_a_phone_are_large_enough(self, page: Page, local: LocalCognito) -> None:
        page.show(*PHONE)
        local.faults.jwks = Fault(status=500)
        page.refresh()
        page.wait(lambda: page.find("#active-faults li"))
        page.click("input[value=user]")
        page.get_token()
        page.check(expired(local))
        for selector in ("#add-client-part summary", "#add-scope-part summary"):
            page.click(selector)

        assert page.run(TARGETS) == []

    def test_every_control_has_a_different_name(self, page: Page, local: LocalCognito) -> None:
        local.faults.jwks = local.faults.token = Fault(status=500)
        page.refresh()
        page.wait(lambda: page.find("#active-faults li"))
        page.click("input[value=user]")
        page.get_token()
        for selector in ("#add-client-part summary", "#add-scope-part summary"):
            page.click(selector)
        # Checkboxes are named by the scope alone; their group says what it is for.
        named = [(each.aria_role, each.accessible_name) for each in page.run(CONTROLS) if each.aria_role != "checkbox"]

        assert len(named) > 30
        assert all(name for _, name in named)
        assert [name for name in named if named.count(name) > 1] == []

    @pytest.mark.parametrize("clients", [2, 8])
    @pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
    def test_the_focus_goes_down_the_columns_as_they_are_seen(
        self, page: Page, local: LocalCognito, size: tuple[int, int], clients: int
    ) -> None:
        page.show(*size)
        for number in range(clients - 2):
            local.pool.add_client(name=f"client {number}", scopes=["orders/order.read"])
        page.refresh()
        places = page.run(
            "return [...document.querySelectorAll('section')].map((each) => each.getBoundingClientRect())"
            ".map((box) => [box.left, box.top])"
        )

        assert len(places) == 7
        assert places == sorted(places)

    @pytest.mark.parametrize("clients", [2, 8])
    def test_neither_column_is_much_longer_than_the_other(self, page: Page, local: LocalCognito, clients: int) -> None:
        for number in range(clients - 2):
            local.pool.add_client(name=f"client {number}", scopes=["orders/order.read"])
        page.refresh()
        ends = page.run(
            "return ['left', 'right'].map((id) => $(id).lastElementChild.getBoundingClientRect().bottom + scrollY)"
        )

        assert min(ends) > 0.8 * max(ends)

    # The pictures of the documentation

    @pytest.mark.skipif("CONSOLE_SCREENSHOTS" not in os.environ, reason="CONSOLE_SCREENSHOTS names no folder")
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
    @pytest.mark.parametrize("scene", ["idle", "refused", "fault", "eight-clients"])
    def test_a_picture_is_taken(
        self, page: Page, local: LocalCognito, url: str, size: tuple[int, int], scheme: str, scene: str
    ) -> None:
        page.show(*size, scheme=scheme)
        panel = "header"
        if scene == "refused":
            ask_for_token(url)
            ask_for_token(url, "orders/order.write")
            page.refresh()
            page.wait(lambda: len(page.find("#requests tbody tr")) == 2)
            page.check(expired(local))
            panel = "#check-panel"
        if scene == "fault":
            page.choose("#fault-jwks", "error")
            httpx.get(f"{url}/{local.pool.pool_id}/.well-known/jwks.json")
            page.refresh()
            page.wait(lambda: page.find("#active-faults li"))
            page.wait(lambda: page.find("#requests tbody tr"))
        if scene == "eight-clients":
            local.pool.add_resource_server(LOGISTICS, {"shipments.write": "Create and change shipments"})
            for name in ("warehouse", "billing", "tracking", "reports", "gateway", "nightly export"):
                local.pool.add_client(name=name, scopes=["orders/order.read", f"{LOGISTICS}/shipments.write"])
            page.refresh()
            page.wait(lambda: len(page.find("#clients > li")) == 8)
            panel = "#clients"

        page.shoot(f"console-{scene}-{size[0]}-{scheme}", panel if size == PHONE else None)
        assert page.run("return document.documentElement.scrollWidth") <= size[0]
