"""A new key for the tokens of one test."""

import secrets

_CURVES = {"ES256": "SECP256R1", "ES384": "SECP384R1", "ES512": "SECP521R1"}


def new_secret(algorithm: str) -> str:
    """Make a random key that signs by this algorithm: a text for HMAC, a private key as PEM for the others."""
    if algorithm.startswith("HS"):
        return secrets.token_urlsafe(64)
    from cryptography.hazmat.primitives import serialization  # not every installation has cryptography
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    if algorithm in _CURVES:
        key = ec.generate_private_key(getattr(ec, _CURVES[algorithm])())
    elif algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(65537, 2048)
    pkcs8, pem = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    return key.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode()
