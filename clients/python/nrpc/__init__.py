# SPDX-License-Identifier: Apache-2.0
"""nrpc in Python: gRPC-style calls over SP sockets. docs/PROTOCOL.md has the protocol, README.md examples."""
from pkgutil import extend_path

# Modules made from nrpc's own .proto files (nrpc/v1/*_pb2.py) may lie elsewhere on the path.
__path__ = extend_path(__path__, __name__)

from .auth import Identity
from .call import Call
from .channel import Channel, ChannelOptions
from .context import Context
from .frame import Metadata
from .retry import RetryOptions
from .server import Server, ServerOptions
from .status import RpcError, StatusCode
from .stub import Stub, StubMethod
from .tls import TlsOptions

__all__ = [
    "Call",
    "Channel",
    "ChannelOptions",
    "Context",
    "Identity",
    "Metadata",
    "RetryOptions",
    "RpcError",
    "Server",
    "ServerOptions",
    "StatusCode",
    "Stub",
    "StubMethod",
    "TlsOptions",
]
