"""Hides credentials in texts: the one redactor for messages, plans, tags, parameters and artifacts.

It imports nothing but Python's own modules, so that every room may use it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

__all__ = ["redacted", "redacted_tree"]

HIDDEN = "***"
SHORTEST = 4  # length from which a secret is hidden wherever it occurs; a shorter one would match by chance

_SCHEME = r"[a-zA-Z][a-zA-Z0-9+.\-]{0,30}"
_NAME = r"[^\s:/@'\"=(\[{,]"
_COLON, _SLASH, _AT, _EQUALS = (rf"%(?:25){{0,4}}{code}" for code in ("3[aA]", "2[fF]", "40", "3[dD]"))
"""Percent-encoded, also several times over."""

_ADDRESS = re.compile(
    # an address, up to the next one or white space
    rf"(?P<scheme>{_SCHEME})://(?P<rest>(?:(?!{_SCHEME}://)\S)*)"
    # MLflow's own names of models and runs, in which @ precedes an alias
    r"|\b(?P<plain>(?:models|runs|file):/\S*)"
    # without a scheme: user:password@host
    rf"|(?P<user>{_NAME}{{1,256}}):(?P<password>\S{{1,1024}})@(?=[\w\[])"
    # without a scheme: token@host:port
    rf"|(?P<token>{_NAME}{{1,1024}})@(?=[\w.\-]{{1,255}}:\d)"
)
_SPACED = re.compile(  # scheme://user:pass word@host: what follows the colon is no port, and there is an @ further on
    rf"({_SCHEME}://)[^\s:/@?#]{{0,256}}:(?!\d*(?:[/?#'\"`,;.)\]}}\s]|$))"
    rf"[^\s@]{{0,256}}(?:[ \t]{{1,8}}(?:(?!{_SCHEME}://)[^\s@]){{0,64}}){{1,8}}@(?=[\w\[])"
)
_ENCODED = re.compile(
    rf"(?P<before>{_SCHEME}{_COLON}{_SLASH}{_SLASH})(?P<user>\S{{1,1024}}){_AT}"
    rf"|(?P<name>[\w.\-]{{1,256}})(?P<colon>:(?!/)|{_COLON})(?P<password>[^\s@/]{{1,256}}){_AT}(?=\w)"
)
_NUMBERED_PORT = re.compile(r":\d*$")
_PLAIN_USER = re.compile(r"[A-Za-z][A-Za-z_.\-]{0,30}\d{0,4}")
_NO_PASSWORDS = {"", "x", "x-oauth-basic", "x-token-auth", "api_token", "token"}
"""Passwords of services whose user name is a token."""

_SECRET = (
    r"(?:token|password|passwd|passphrase|pwd|secret|credential|api[_\-]?key|access[_\-]?key|private[_\-]?key)"
    r"[a-zA-Z0-9_\-]{0,64}"
)
_SECRET_NAME = re.compile(rf"(?i){_SECRET}")
# MLflow's address of a saved view has a parameter that is called a key and is no secret.
_SECRET_PARAMETER = re.compile(rf"(?is)^(?!.*viewStateShareKey$).*(?:{_SECRET}|key|auth|pass|signature|^sig$)")
_PARAMETER = re.compile(r"([?&#;])([^=&\s]{1,256})=([^&\s]*?)(?=['\"]?[),.;:\]}]*(?:&|\s|$))")
_SETTING = re.compile(  # password=..., 'token': ..., password%3D...
    rf"(?i)({_SECRET}['\"]?\s{{0,8}}[=:]\s{{0,8}}|{_SECRET}{_EQUALS})"
    r"(\"[^\"]*\"|'[^']*'|\{[^}]*\}|[^\s&'\"]+?(?=[),.;:\]}}]*(?:[\s&'\"]|$)))"
)
_TOKEN = re.compile(
    r"(?i:(\b(?:bearer|basic)\s{1,8}))[\w+/=.\-]{16,}"  # an HTTP header
    r"|()\b(?:gh[pousr]_|github_pat_|glpat-|hf_|dapi|sk-|xox[abp]-|AKIA|eyJ)[\w.\-]{12,}"  # of well-known services
)


def redacted(text: str, *addresses: str) -> str:
    """The text without passwords and tokens: what may be printed, logged, or written to a tag or a plan.

    Hides the password of every address, and the user name too if it may be a token; with or without a scheme,
    percent-encoded or not. Hides the values of a query's parameters and of settings that are named like a secret, and
    tokens in the form of well-known services. The path of a SQLite file stays as it is, whatever its folders are
    called.

    Args:
        text: an address, or any text with any number of addresses in it, such as the message of a database's driver.
        addresses: addresses whose credentials are hidden wherever they occur in the text, also alone.
    """
    for secret in sorted({secret for address in addresses for secret in _credentials(address)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    if "@" in text or "://" in text:
        text = _ADDRESS.sub(_hide_in_address, _SPACED.sub(rf"\g<1>{HIDDEN}@", text))
    if "%" in text and "40" in text:
        text = _ENCODED.sub(_hide_in_encoded, text)
    if "=" in text:
        text = _PARAMETER.sub(_hide_parameter, text)
    text = _SETTING.sub(_hide_setting, text)
    return _TOKEN.sub(lambda match: f"{match[1] or ''}{HIDDEN}", text)


def redacted_tree(tree: Any) -> Any:
    """Plain data with every text in it redacted, and every text under a key that is named like a secret hidden."""
    if isinstance(tree, Mapping):
        return {
            key: HIDDEN if isinstance(value, str) and _SECRET_NAME.search(str(key)) else redacted_tree(value)
            for key, value in tree.items()
        }
    if isinstance(tree, list | tuple):
        return [redacted_tree(value) for value in tree]
    return redacted(tree) if isinstance(tree, str) else tree


def _credentials(address: str) -> set[str]:
    """The passwords and tokens of an address, as they are written and decoded."""
    rest = address.partition("://")[2]
    user, colon, password = rest[: max(_end_of_credentials(rest), 0)].partition(":")
    found = {password} if colon and _may_be_shown(user, password) else {user, password}
    found |= {value for _, name, value in _PARAMETER.findall(address) if _SECRET_PARAMETER.search(unquote(name))}
    return {form for secret in found for form in (secret, unquote(secret)) if len(form) >= SHORTEST}


def _end_of_credentials(rest: str) -> int:
    """The end of an address's credentials, given the text after `://`.

    A password may hold unquoted `/`, `?`, `#` and `@`; then a port that is no number gives the address away.

    Returns:
        The index of the `@`; -1 if there are no credentials; the length of `rest` if it is cut off within them.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0].rstrip("'\"`,.;)]}")
    if not authority:
        return -1
    if "@" not in authority and (authority.startswith("[") or ":" not in authority or _has_port(authority)):
        return -1
    end = rest.rfind("@")
    return len(rest) if end < 0 else end


def _has_port(authority: str) -> bool:
    return _NUMBERED_PORT.search(authority.rstrip(":")) is not None or authority.rstrip(":").count(":") == 0


def _may_be_shown(user: str, password: str) -> bool:
    """Whether the user's name is probably just a name, which helps to find an error."""
    return _PLAIN_USER.fullmatch(user) is not None and password.lower() not in _NO_PASSWORDS


def _hide_in_address(match: re.Match[str]) -> str:
    scheme, rest = match["scheme"], match["rest"]
    if match["plain"] is not None:
        return match[0]
    if scheme is None:
        return f"{HIDDEN}@"
    end = _end_of_credentials(rest)
    if end < 0:
        return match[0]
    user, _, password = rest[:end].partition(":")
    return f"{scheme}://{f'{user}:' if _may_be_shown(user, password) else ''}{HIDDEN}{rest[end:]}"


def _hide_in_encoded(match: re.Match[str]) -> str:
    return f"{match['before'] or ''}{HIDDEN}%40"


def _hide_parameter(match: re.Match[str]) -> str:
    separator, name, value = match.groups()
    return f"{separator}{name}={HIDDEN if _SECRET_PARAMETER.search(unquote(name)) else value}"


def _hide_setting(match: re.Match[str]) -> str:
    name, value = match.groups()
    quotes = value[0] if value[0] in "'\"" else ""
    return f"{name}{quotes}{HIDDEN}{quotes}"
