"""`docs/local.md`: its Python runs, its commands parse, its files describe what they say, its compose file agrees."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]

import example_app
from cognito_guard import UserPool
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalPool
from cognito_guard.local._command import add_parser
from cognito_guard.local._operations import CHANGING, READING
from cognito_guard.local._setup import read_setup

GUIDE = (Path(example_app.__file__).parent.parent / "docs" / "local.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def parsed(command: str) -> argparse.Namespace:
    """Return the options of a command line, as the command reads them."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_parser(parser.add_subparsers())
    program, *arguments = shlex.split(command)
    assert program == "cognito-guard"
    return parser.parse_args(arguments)


@pytest.fixture
def described(tmp_path: Path) -> LocalPool:
    """The pool of the TOML file."""
    (text,) = blocks("toml")
    config = tmp_path / "cognito.toml"
    config.write_text(text)
    (pool,) = (pool.make() for pool in read_setup(config).pools)
    return pool


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    (text,) = blocks("yaml")
    content: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return content["services"]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_its_python_does_what_it_asserts(number: int) -> None:
    code = blocks("python")
    assert len(code) == 3

    exec(compile(code[number], f"docs/local.md, example {number}", "exec"), {})  # noqa: S102 - our own page


def test_its_commands_parse() -> None:
    commands = re.findall(r"^\$ (cognito-guard .*)$", "\n".join(blocks("console")), re.MULTILINE)

    options = [parsed(command) for command in commands]
    assert len(options) == 3
    assert options[1].command == ["uvicorn", "main:app", "--reload"]
    assert options[2].env_file == Path(".env")


def test_its_flags_and_operations_exist() -> None:
    served = GUIDE[GUIDE.index("serves `GetClientToken`") : GUIDE.index("Errors have Cognito's names")]

    assert set(re.findall(r"`(\w+)`", served)) == {*READING, *CHANGING}
    for flag in set(re.findall(r"`(--[a-z-]+)[ `]", GUIDE)):
        assert flag in {"--issuer-here", "--state", "--config", "--env-file", "--client", "--host"}


def test_its_file_describes_two_clients(described: LocalPool) -> None:
    reader, writer = described.clients

    assert reader.claims == {"tenant": "acme"}
    assert (writer.secret, writer.access_token_validity) == ("writer_secret_writer_secret_", 900)


def test_the_settings_in_its_comments_exist(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    config = tmp_path / "cognito.toml"
    config.write_text(text.replace("# issuer =", "issuer ="))

    assert read_setup(config).pools[0].make().issuer_is_here

    config.write_text(text.replace("# pre_token_generation =", "pre_token_generation ="))
    with pytest.raises(ConfigurationError, match="my_trigger"):
        read_setup(config)


# The compose file, as far as it can be told without containers


def test_the_api_of_the_compose_file_accepts_the_clients_of_the_file(
    services: dict[str, Any], described: LocalPool
) -> None:
    pool = UserPool.from_env(services["api"]["environment"])

    assert pool.pool_id == described.pool_id
    assert pool.client_ids == frozenset(client.client_id for client in described.clients)
    assert described.issuer in pool.issuers


def test_the_urls_of_the_compose_file_are_served_by_its_other_service(
    services: dict[str, Any], described: LocalPool
) -> None:
    pool = UserPool.from_env(services["api"]["environment"])
    options = parsed(services["cognito"]["command"])
    mounted = services["cognito"]["volumes"][0].split(":")
    served = described.user_pool(f"http://cognito:{options.port}", allow_insecure_http=True)

    assert options.host == "0.0.0.0"  # noqa: S104 - reached from the other container
    assert mounted == ["./cognito.toml", str(options.config), "ro"]
    assert (pool.jwks_urls, pool.token_url) == (served.jwks_urls, served.token_url)
    assert urlsplit(pool.jwks_urls[0]).hostname in services
    assert set(services["api"]["depends_on"]) == {"cognito"}


def test_the_health_check_asks_for_the_keys_and_ports_are_open_only_to_this_machine(
    services: dict[str, Any], described: LocalPool
) -> None:
    words = services["cognito"]["healthcheck"]["test"]

    assert words[:3] == ["CMD", "python", "-c"]
    compile(words[3], "health check", "exec")
    assert f"/{described.pool_id}/.well-known/jwks.json" in words[3]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
