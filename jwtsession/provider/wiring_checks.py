"""Makes from the settings what is asked of tokens beside that they are genuine: proofs of possession, and rotation."""

from collections.abc import Callable

from ..errors import ConfigurationError
from ..sessions import Cutoff, Rotation, Timeouts
from ..settings import SessionSettings
from ..stores import SessionStore, has_proofs, has_rotation
from ..tokens import KeyRing, ProofNonces, ProofVerifier
from ..web.checks import TokenChecks
from ..web.proofs.request_proof import ProofPolicy

_WORKERS_CLOCKS_SECONDS = 60
"""By how many seconds the clocks of workers may differ. The store remembers a proof for so much longer."""


def checks_of(
    settings: SessionSettings,
    store: SessionStore,
    keys: KeyRing,
    rotation: Rotation | None,
    clock: Callable[[], float],
) -> TokenChecks | None:
    """What is asked of tokens beside that they are genuine; None for nothing.

    Raises:
        ConfigurationError: The store can't remember proofs.
    """
    proofs = _proofs(settings, store, keys, clock)
    return None if proofs is None and rotation is None else TokenChecks(proofs, rotation)


def _proofs(
    settings: SessionSettings, store: SessionStore, keys: KeyRing, clock: Callable[[], float]
) -> ProofPolicy | None:
    dpop = settings.dpop
    if dpop.mode == "off":
        return None
    if dpop.replay and not has_proofs(store):
        raise ConfigurationError(f"dpop.replay: {type(store).__name__} does not have the methods of ReplayStore")
    nonces = ProofNonces(keys.derived_secrets(b"jwtsession dpop nonce"), clock) if dpop.nonce else None
    verifier = ProofVerifier(
        algorithms=dpop.algorithms,
        max_age=dpop.max_age,
        leeway=dpop.leeway,
        public_url=settings.public_url or "",
        nonces=nonces,
        clock=clock,
    )
    return ProofPolicy(
        verifier,
        dpop.algorithms,
        required=dpop.mode == "required",
        nonces=nonces,
        store=store if dpop.replay and has_proofs(store) else None,
        place=f"{getattr(store, 'location', id(store))} {settings.keyspace}",
        window=(dpop.max_age + dpop.leeway + _WORKERS_CLOCKS_SECONDS) * 1000,
    )


def rotation_of(
    settings: SessionSettings,
    store: SessionStore,
    timeouts: Timeouts,
    keys: KeyRing,
    cutoff: Cutoff | None,
    clock: Callable[[], float],
) -> Rotation | None:
    """The rotation of tokens; None if none is replaced.

    Raises:
        ConfigurationError: The store or the original can't do it.
    """
    if settings.rotation.after is None:
        return None
    if settings.is_node_compatible:
        raise ConfigurationError("rotation.after: the Node original can't take a new token to the client")
    if not has_rotation(store):
        raise ConfigurationError(f"rotation.after: {type(store).__name__} does not have all methods of RotationStore")
    return Rotation(
        store,
        timeouts,
        max_age=settings.max_age,
        after=settings.rotation.after,
        grace=settings.rotation.grace,
        silent=settings.rotation.mode == "silent" and keys.can_sign,
        cutoff=cutoff,
        clock=clock,
    )
