"""Signed tokens (JWT) of readers: which keys there are, and the one algorithm that each of them may be used with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quality_assets.contracts.live import FEATURES_AUDIENCE
from quality_assets.settings import Settings
from quality_assets.stores.live.readers_key import made_key


class TokenKeyError(ValueError):
    """A key for tokens cannot be used. The message names the file, and which keys can."""


class TokenError(RuntimeError):
    """A token is not valid. The message says why."""


@dataclass(frozen=True)
class SignedTokens:
    """Keys by algorithm. A token names its algorithm, but never chooses what a key is used for: a public key is no
    secret of HS256, and each key is of one algorithm only (RFC 8725, 3.1)."""

    keys: dict[str, Any]

    @classmethod
    def of(cls, settings: Settings) -> SignedTokens:
        """The keys that the settings name, and where that is a public one alone, the root's own as well.

        Raises TokenKeyError.
        """
        keys: dict[str, Any] = {}
        if settings.collector_jwt_secret is not None:
            keys["HS256"] = settings.collector_jwt_secret.get_secret_value()
        if settings.collector_jwt_public_key is not None:
            algorithm, key = _public_key(settings.collector_jwt_public_key)
            keys[algorithm] = key
            # Of a public key the dashboard can sign nothing.
            keys.setdefault("HS256", made_key(settings.live_dir))
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self.keys)

    def until(self, shown: str) -> float:
        """Until when (seconds since 1970) a token for our audience is valid. Raises TokenError."""
        import jwt

        try:
            algorithm = jwt.get_unverified_header(shown).get("alg")
            key = self.keys.get(algorithm) if isinstance(algorithm, str) else None
            if key is None:
                raise TokenError(f"it is signed with another algorithm than {' or '.join(self.keys)}")
            claims = jwt.decode(
                shown, key, algorithms=[str(algorithm)], audience=FEATURES_AUDIENCE, options={"require": ["exp", "aud"]}
            )
            return float(claims["exp"])
        except (jwt.PyJWTError, OverflowError, ValueError) as error:
            raise TokenError(str(error)) from None


def _public_key(path: Path) -> tuple[str, Any]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise TokenKeyError(
            f"QUALITY_COLLECTOR_JWT_PUBLIC_KEY: {path} is no public key in PEM ({error}). Of a private key:"
            " openssl pkey -in private.pem -pubout -out public.pem"
        ) from error
    if isinstance(key, Ed25519PublicKey):
        return "EdDSA", key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256", key
    raise TokenKeyError(
        f"QUALITY_COLLECTOR_JWT_PUBLIC_KEY: {path} is of another kind; a P-256 key (ES256) or an Ed25519 key (EdDSA) is"
        " needed"
    )
