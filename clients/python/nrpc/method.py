# SPDX-License-Identifier: Apache-2.0
"""What a .proto file says about a method."""
from __future__ import annotations

from dataclasses import dataclass

from google.protobuf import message_factory, symbol_database
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions, ServiceDescriptorProto
from google.protobuf.message import Message


@dataclass(frozen=True)
class Method:
    """One method of a service."""

    name: str  # as in the .proto file
    path: str  # as it travels: "/package.Service/Method"
    request: type[Message]
    response: type[Message]
    client_streams: bool
    server_streams: bool
    is_idempotent: bool
    roles: tuple[str, ...]  # option (nrpc.v1.roles), or the service's service_roles


def _message_class(descriptor: Descriptor) -> type[Message]:
    get = getattr(message_factory, "GetMessageClass", None)  # protobuf 4.22 and later
    return get(descriptor) if get else symbol_database.Default().GetPrototype(descriptor)


# Set only if nrpc/v1/options.proto was imported, and then its module is loaded.
def _option(options: Message, name: str) -> tuple[str, ...]:
    for field, value in options.ListFields():
        if field.full_name == name:
            return tuple(value)
    return ()


def methods_of(service: ServiceDescriptor) -> list[Method]:
    """All methods of a service, in the order of the .proto file."""
    proto = ServiceDescriptorProto()
    service.CopyToProto(proto)  # says who streams, in every version of protobuf
    service_roles = _option(service.GetOptions(), "nrpc.v1.service_roles")
    return [
        Method(
            name=m.name,
            path=f"/{service.full_name}/{m.name}",
            request=_message_class(m.input_type),
            response=_message_class(m.output_type),
            client_streams=p.client_streaming,
            server_streams=p.server_streaming,
            is_idempotent=m.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN,
            roles=_option(m.GetOptions(), "nrpc.v1.roles") or service_roles,
        )
        for m, p in zip(service.methods, proto.method)
    ]
