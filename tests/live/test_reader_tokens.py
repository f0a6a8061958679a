"""Who may read: the token of the servers, or one that a secret or a private key has signed; nothing that is forged."""

from __future__ import annotations

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from quality_assets.contracts.live import FEATURES_AUDIENCE as AUDIENCE
from quality_assets.read.live import headers_of
from quality_assets.serve.collector.access import Access, DeniedError, KeyFileError
from quality_assets.settings import Settings

SECRET = "s" * 40


def test_tokens_of_readers(data_root: Settings) -> None:
    access = Access(data_root.model_copy(update={"collector_jwt_secret": SecretStr(SECRET)}))

    def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
        return "Bearer " + jwt.encode({"aud": AUDIENCE, "exp": time.time() + 60, **claims}, secret, algorithm)

    for _ in range(2):
        access.check_reader(token())
    wrong = [
        token(exp=time.time() - 60),
        token(aud="others"),
        token(secret="t" * 40),
        token(secret=SECRET * 2, algorithm="HS512"),
        "Bearer " + jwt.encode({"aud": AUDIENCE}, SECRET, "HS256"),
        "Bearer x",
        None,
    ]
    for shown in wrong:
        with pytest.raises(DeniedError):
            access.check_reader(shown)


def _key_files(folder: Path, key: Any) -> tuple[bytes, Path]:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    public = folder / "public.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public


def _access(settings: Settings, **more: Any) -> Access:
    return Access(settings.model_copy(update=more))


def _token(key: Any, algorithm: str, **claims: Any) -> str:
    return "Bearer " + jwt.encode({"aud": AUDIENCE, "exp": time.time() + 60, **claims}, key, algorithm)


def _forged(claims: dict[str, Any], algorithm: str, secret: bytes) -> str:
    """A token as PyJWT refuses to make one: signed by HMAC with whatever bytes."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = part(json.dumps({"alg": algorithm}).encode()) + b"." + part(json.dumps(claims).encode())
    mac = hmac.new(secret, signed, "sha256").digest() if secret else b""
    return "Bearer " + (signed + b"." + part(mac)).decode()


@pytest.mark.parametrize(
    ("algorithm", "key", "other"),
    [
        ("ES256", ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())),
        ("EdDSA", Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()),
    ],
)
def test_tokens_that_a_private_key_signs(
    data_root: Settings, tmp_path: Path, algorithm: str, key: Any, other: Any
) -> None:
    private, public = _key_files(tmp_path, key)
    access = _access(data_root, collector_jwt_public_key=public)
    assert access.needs_reader_token
    for _ in range(2):
        access.check_reader(_token(private, algorithm))
    claims = {"aud": AUDIENCE, "exp": time.time() + 60}
    wrong = [
        _token(other, algorithm),
        _token(private, algorithm, exp=time.time() - 60),
        _token(private, algorithm, aud="others"),
        _token("t" * 40, "HS256"),
        _forged(claims, "HS256", public.read_bytes()),
        _forged(claims, "none", b""),
        _forged(claims, algorithm, public.read_bytes()),
    ]
    for shown in wrong:
        with pytest.raises(DeniedError):
            access.check_reader(shown)
    both = _access(data_root, collector_jwt_public_key=public, collector_jwt_secret=SecretStr(SECRET))
    own = headers_of(data_root.model_copy(update={"collector_jwt_public_key": public}))
    with pytest.raises(DeniedError):
        both.check_reader(own["authorization"])
    both.check_reader(_token(private, algorithm))
    both.check_reader(_token(SECRET, "HS256"))
    with pytest.raises(DeniedError, match=f"another algorithm than HS256 or {algorithm}"):
        both.check_reader(_forged(claims, "HS512", public.read_bytes()))


def test_keys_that_are_no_public_keys_of_ours(data_root: Settings, tmp_path: Path) -> None:
    private, public = _key_files(tmp_path, ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(KeyFileError, match="P-256 key"):
        _access(data_root, collector_jwt_public_key=public)
    (tmp_path / "private.pem").write_bytes(private)
    for path in (tmp_path / "private.pem", tmp_path / "none.pem"):
        with pytest.raises(KeyFileError, match="no public key in PEM"):
            _access(data_root, collector_jwt_public_key=path)


def test_the_dashboard_opens_the_collector_of_its_root(data_root: Settings) -> None:
    signed = data_root.model_copy(update={"collector_jwt_secret": SecretStr(SECRET)})
    both = signed.model_copy(update={"token": SecretStr("t" * 20)})
    assert headers_of(data_root) == {}
    for settings in (signed, both):
        Access(settings).check_reader(headers_of(settings)["authorization"])


def test_the_dashboard_opens_a_collector_that_has_a_public_key_alone(data_root: Settings, tmp_path: Path) -> None:
    _, public = _key_files(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    settings = data_root.model_copy(update={"collector_jwt_public_key": public})
    assert headers_of(settings) == {}, "no collector has made a key yet"
    first = _access(settings)
    second = _access(settings)
    shown = headers_of(settings)["authorization"]
    for access in (first, second):
        access.check_reader(shown)
    kept = settings.live_dir / "readers.key"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.live_dir.iterdir()] == ["readers.key"]
    elsewhere = data_root.model_copy(update={"collector_jwt_public_key": public, "data_dir": tmp_path / "other"})
    with pytest.raises(DeniedError):
        _access(elsewhere).check_reader(shown)


def test_a_reader_may_show_the_token_of_the_servers(data_root: Settings) -> None:
    access = Access(data_root.model_copy(update={"token": SecretStr("t" * 20)}))
    access.check_reader("Bearer " + "t" * 20)
    with pytest.raises(DeniedError):
        access.check_reader("Bearer " + "u" * 20)
