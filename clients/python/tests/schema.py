# SPDX-License-Identifier: Apache-2.0
"""A schema for tests, made at run time: no protoc is needed."""
from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2
from google.protobuf.descriptor import ServiceDescriptor

Text = wrappers_pb2.StringValue
Number = wrappers_pb2.Int64Value

# name, client streams, server streams
_METHODS = (
    ("Echo", False, False),
    ("Idempotent", False, False),
    ("Count", False, True),
    ("Sum", True, False),
    ("Chat", True, True),
    ("Missing", False, False),
)


def service() -> ServiceDescriptor:
    """test.Test: every method takes and returns a StringValue."""
    pool = descriptor_pool.Default()
    try:
        return pool.FindServiceByName("test.Test")
    except KeyError:
        pass
    file = descriptor_pb2.FileDescriptorProto(
        name="test.proto", package="test", syntax="proto3", dependency=["google/protobuf/wrappers.proto"]
    )
    proto = file.service.add(name="Test")
    for name, client_streams, server_streams in _METHODS:
        method = proto.method.add(
            name=name,
            client_streaming=client_streams,
            server_streaming=server_streams,
            input_type=".google.protobuf.StringValue",
            output_type=".google.protobuf.StringValue",
        )
        if name == "Idempotent":
            method.options.idempotency_level = descriptor_pb2.MethodOptions.IDEMPOTENT
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("test.Test")
