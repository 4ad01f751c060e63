"""Proofs of possession (DPoP, RFC 9449) in requests and answers."""
