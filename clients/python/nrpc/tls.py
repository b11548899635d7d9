# SPDX-License-Identifier: Apache-2.0
"""TLS, for urls that begin with tls+tcp."""
from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True)
class TlsOptions:
    """Files are PEM. A server needs certificate and key, a client the CA."""

    ca_file: str | None = None  # whom to trust; on a server: clients must show a certificate from it (mTLS)
    certificate_file: str | None = None  # one's own, with its chain
    key_file: str | None = None
    server_name: str | None = None  # client: the name the certificate must have; None: the host of the url


def _load_own(context: ssl.SSLContext, options: TlsOptions) -> None:
    if options.certificate_file:
        context.load_cert_chain(options.certificate_file, options.key_file)


def client_context(options: TlsOptions | None) -> ssl.SSLContext:
    """What a client connects with. ValueError: it does not know whom to trust."""
    if not options or not options.ca_file:
        raise ValueError("a TLS client needs to know whom to trust (ca_file)")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(options.ca_file)
    _load_own(context, options)
    return context


def server_context(options: TlsOptions | None) -> ssl.SSLContext:
    """What a server listens with. ValueError: it has no certificate."""
    if not options or not options.certificate_file or not options.key_file:
        raise ValueError("a TLS listener needs a certificate and a key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own(context, options)
    if options.ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(options.ca_file)
    return context
