"""Which certificates are trusted, and when the TLS context is made. The servers are real ones, on loopback."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from certifi import where

from cognito_guard._keys.fetch import FetchError, built_in
from cognito_guard._keys.get import _tls, _tls_of
from cognito_guard._keys.get import get as fetch
from tests.keys.hosts import on_this_machine

pytestmark = pytest.mark.usefixtures("nothing_in_the_environment")

BODY = b'{"keys": []}'
AT_LEISURE = 20.0


def test_the_authorities_of_certifi_are_trusted_unless_the_environment_names_others(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {authority["serialNumber"] for authority in ssl.create_default_context(cafile=where()).get_ca_certs()}

    def trusted() -> set[object]:
        return {authority["serialNumber"] for authority in _tls().get_ca_certs()}

    assert known <= trusted()
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        with monkeypatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", str(certificate))
            environment.setenv(name, str(certificate))
            assert not known & trusted()


@pytest.mark.parametrize(
    ("host", "trusted", "reason"),
    [
        pytest.param("cognito.example", False, "self-signed certificate", id="an-authority-nobody-knows"),
        pytest.param("elsewhere.example", True, "Hostname mismatch", id="another-host"),
    ],
)
def test_an_untrusted_certificate_is_refused(
    tls_server: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool, reason: str
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    with pytest.raises(
        FetchError, match=rf"^the TLS handshake with {host}:\d+ failed: .*CERTIFICATE_VERIFY_FAILED.*{reason}"
    ):
        fetch(f"https://{host}:{tls_server.port}/", AT_LEISURE, resolve=on_this_machine)

    assert tls_server.heads == []


def test_a_folder_that_the_environment_names_replaces_the_authorities_of_certifi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    assert _tls().get_ca_certs() == []


def test_the_authorities_of_the_system_are_trusted_beside_those_of_certifi(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL has a place for them. The variable moves it; the guard is told that there is none."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    context = _tls_of.__wrapped__(None, None)

    assert context.cert_store_stats()["x509"] == len(ssl.create_default_context(cafile=where()).get_ca_certs()) + 1


@pytest.mark.parametrize("host", ["cognito.example", "127.0.0.1"])
def test_the_environment_names_the_authorities_for_loopback_too(
    tls_server: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Only proxies are left out there."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    assert fetch(f"https://{host}:{tls_server.port}/", AT_LEISURE, resolve=on_this_machine) == BODY


@pytest.mark.parametrize(
    ("urls", "early"),
    [
        pytest.param(["https://cognito.example/"], True, id="https"),
        pytest.param(["http://127.0.0.1/", "https://cognito.example/"], True, id="https-among-others"),
        pytest.param(["http://127.0.0.1/"], False, id="plain-http"),
        pytest.param([], False, id="no-url"),
    ],
)
def test_the_tls_context_is_made_with_the_guard_if_a_url_needs_it(
    tls_server: Any, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, urls: list[str], early: bool
) -> None:
    """Authorities are read when it is made, so they tell when that was."""
    authorities = tmp_path / "authorities.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    authorities.write_bytes(certificate.read_bytes() if early else b"")

    built_in(urls)

    authorities.write_bytes(b"" if early else certificate.read_bytes())
    assert fetch(f"https://cognito.example:{tls_server.port}/", AT_LEISURE, resolve=on_this_machine) == BODY
