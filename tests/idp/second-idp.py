#!/usr/bin/env python3
"""A second, independent OpenID Provider on loopback: PyPI `nanoidp`. Its habits are other than oidc-provider's: a refreshed ID token
carries no nonce, ID tokens hold no names but `sub`, groups are only on a `claims` parameter, no consent is asked, refresh tokens are
JWTs, rotate, and end together when a spent one is shown.

  second-idp.py DIR      DIR holds tls.crt and tls.key; configuration and keys are written below it

Prints one JSON line when ready: {"issuer":…,"pid":…}.
"""
import json, os, secrets, socket, ssl, sys

from nanoidp.app import create_app
from werkzeug.serving import WSGIRequestHandler, make_server

pki = os.path.abspath(sys.argv[1])
config = os.path.join(pki, "nanoidp")
os.makedirs(config, mode=0o700, exist_ok=True)
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
issuer = f"https://localhost:{port}"


def write(name, value):
    with open(os.path.join(config, name), "w") as file:
        json.dump(value, file)  # JSON is YAML


write("settings.yaml", {
    "config_version": 1,
    "security_profile": "oauth21",  # PKCE S256 and rotation are required
    "server": {"host": "127.0.0.1", "port": port},
    "jwt": {"keys_dir": os.path.join(config, "keys")},
    "session": {"enforce_password_check": True, "require_ui_login": False, "secret_key": secrets.token_hex(24)},
    "logging": {"verbose_logging": False, "level": "WARNING"},
    "oauth": {
        "issuer": issuer,
        "audience": "another-app",  # of access tokens; an ID token's is the client's id
        "token_expiry_minutes": 10,
        "refresh_token_rotation": True,
        "require_pkce": True,
        "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
        "clients": [{"client_id": "gatepass", "token_endpoint_auth_method": "none", "redirect_uris": ["http://127.0.0.1/callback"]}],
    },
})
write("users.yaml", {"config_version": 1, "users": {
    name: {"password": f"{name}-pw", "email": f"{name}@example.test", "groups": groups, "roles": ["USER"]}
    for name, groups in (("alice", ["dev", "ops"]), ("bob", ["dev"]))
}})


class Quiet(WSGIRequestHandler):
    """Writes no line for each request: a query holds `state` and `nonce`."""

    def log_request(self, *_):
        pass


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(os.path.join(pki, "tls.crt"), os.path.join(pki, "tls.key"))
server = make_server("127.0.0.1", port, create_app(config_dir=config), threaded=True, ssl_context=tls, request_handler=Quiet, fd=listener.fileno())
print(json.dumps({"issuer": issuer, "pid": os.getpid()}), flush=True)
server.serve_forever()
