"""Who may log in to the broker, out of the platform's records."""

import hmac

from simulators.broker.port import DevicePrincipal, Login, Principal, TrustedPrincipal
from simulators.platform.access import secret_digest
from simulators.platform.provisioning import Secrets, logins
from simulators.platform.store import Store
from simulators.platform.trail import Happening, Trail

PLATFORM_LOGIN = "hil-platform"


class Directory:
    """Who may log in to the broker: each device with its id and token, and the platform itself.   Source: CMD-23, DLD-13."""

    def __init__(self, store: Store, secrets: Secrets, trail: Trail, client_id: str) -> None:
        self._client_id = client_id
        self._store = store
        self._secrets = secrets
        self._trail = trail

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        token = (password or b"").decode("utf-8", "surrogateescape")
        if username == client_id and self._store.is_token_of(client_id, secret_digest(token)):
            return DevicePrincipal(client_id)
        if username == PLATFORM_LOGIN and self._is_platform(token):
            return TrustedPrincipal(client_id)
        self._trail.add(Happening.LOGIN_REFUSED, facts={"via": "mqtt"})
        return None

    def _is_platform(self, password: str) -> bool:
        return hmac.compare_digest(secret_digest(password), secret_digest(self._secrets.broker_password()))

    def logins(self) -> list[Login]:
        platform = Login(self._client_id, PLATFORM_LOGIN, self._secrets.broker_password(), is_trusted=True)
        return [platform, *logins(self._store, self._secrets)]
