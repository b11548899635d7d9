#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# oracle_test.py DRIVER SET [SEED [MESSAGES]]: random messages, converted by us and by Google's json_format; both must mean
# the same.
#
# Each message goes three ways: its bytes to JSON by us, read by Google's parser; its JSON by Google's printer, read by us;
# and Google's JSON with default values against ours. Exit code 77, a skip, without python3-protobuf.
import json
import math
import random
import struct
import subprocess
import sys

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
except ImportError:
    print("there is no google.protobuf for this python3 (Debian: python3-protobuf)")
    sys.exit(77)

DEPTH_MAX = 4
ANY_TYPES = ["rich.v1.Scalars", "rich.v1.Choice", "google.protobuf.Duration", "google.protobuf.Int64Value",
             "google.protobuf.Struct", "google.protobuf.Value"]
INTS = {"INT32": (-2**31, 2**31 - 1), "INT64": (-2**63, 2**63 - 1), "UINT32": (0, 2**32 - 1), "UINT64": (0, 2**64 - 1)}
for name, like in [("SINT32", "INT32"), ("SINT64", "INT64"), ("SFIXED32", "INT32"), ("SFIXED64", "INT64"),
                   ("FIXED32", "UINT32"), ("FIXED64", "UINT64")]:
    INTS[name] = INTS[like]


class Driver:
    """json_driver, asked line by line."""

    def __init__(self, program, descriptors):
        self.process = subprocess.Popen([program, descriptors], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        encoding="utf-8")

    def ask(self, what, kind, argument):
        self.process.stdin.write(f"{what} {kind} {argument}\n")
        self.process.stdin.flush()
        result, _, value = self.process.stdout.readline().rstrip("\n").partition(" ")
        if result != "ok":
            raise AssertionError(f"{what} {kind} {argument}\n  {value}")
        return value

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


class Maker:
    """Fills messages at random."""

    def __init__(self, rng, pool, classes):
        self.rng, self.pool, self.classes = rng, pool, classes

    def integer(self, low, high):
        kind = self.rng.randrange(4)
        if kind == 0:
            return self.rng.choice([low, high, 0])
        if kind == 1:
            return self.rng.randint(max(low, -10), 10)
        return self.rng.randint(low, high)

    def real(self, is_float):
        kind = self.rng.randrange(5)
        if kind == 0:
            return self.rng.choice([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, 0.1, -1.5])
        if kind == 1:
            return float(self.rng.randint(-10**6, 10**6)) / 100
        if is_float:
            return struct.unpack("<f", self.rng.randbytes(4))[0]
        return struct.unpack("<d", self.rng.randbytes(8))[0]

    def finite(self):
        while True:
            value = self.real(False)
            if math.isfinite(value):
                return value

    def text(self):
        letters = "abcXYZ019 _-/\\\"'\n\t\0\x7f\x80äß€\ud7ff\ue000\U0001f98a\U0010ffff<>&"
        return "".join(self.rng.choice(letters) for _ in range(self.rng.randrange(8)))

    def key(self, field):
        while True:  # a NUL in a key is refused by us, as documented for JSON's reader
            value = self.scalar(field)
            if not isinstance(value, str) or "\0" not in value:
                return value

    def scalar(self, field):
        kind = descriptor_pb2.FieldDescriptorProto.Type.Name(field.type)[len("TYPE_"):]
        if kind in INTS:
            return self.integer(*INTS[kind])
        if kind in ("DOUBLE", "FLOAT"):
            return self.real(kind == "FLOAT")
        if kind == "BOOL":
            return self.rng.random() < 0.5
        if kind == "STRING":
            return self.text()
        if kind == "BYTES":
            return self.rng.randbytes(self.rng.randrange(9))
        assert kind == "ENUM", kind
        known = self.rng.choice(field.enum_type.values).number
        return known if field.enum_type.name == "NullValue" or self.rng.random() < 0.8 else self.rng.randint(-50, 50)

    def special(self, m, depth):
        """Fills a message with a form of its own; False: it has none."""
        name = m.DESCRIPTOR.full_name
        if name == "google.protobuf.Timestamp":
            m.seconds = self.rng.randint(-62135596800, 253402300799)
            m.nanos = self.rng.choice([0, 1, 1000, 250000000, 999999999, self.rng.randrange(10**9)])
        elif name == "google.protobuf.Duration":
            sign = self.rng.choice([-1, 1])
            m.seconds = sign * self.rng.choice([0, 1, self.rng.randint(0, 315576000000 - 1)])
            m.nanos = sign * self.rng.choice([0, 1, 1000, 500000000, self.rng.randrange(10**9)])
        elif name == "google.protobuf.FieldMask":
            for _ in range(self.rng.randrange(4)):
                m.paths.append(self.rng.choice(["a", "foo_bar", "foo.bar_baz", "a1.b2_c"]))
        elif name == "google.protobuf.Any":
            kind = self.rng.choice(ANY_TYPES)
            inner = self.classes[kind]()
            self.fill(inner, depth + 1)
            m.Pack(inner, deterministic=True)
        elif name == "google.protobuf.Value":
            self.value(m, depth)
        elif name == "google.protobuf.Struct":
            for _ in range(self.rng.randrange(4) if depth < DEPTH_MAX else 0):
                self.value(m.fields[self.rng.choice(["", "a", "b c", "ü"])], depth + 1)
        elif name == "google.protobuf.ListValue":
            for _ in range(self.rng.randrange(4) if depth < DEPTH_MAX else 0):
                self.value(m.values.add(), depth + 1)
        else:
            return False
        return True

    def value(self, m, depth):
        kind = self.rng.randrange(4 if depth >= DEPTH_MAX else 6)
        if kind == 0:
            m.null_value = 0
        elif kind == 1:
            m.number_value = self.finite()
        elif kind == 2:
            m.string_value = self.text()
        elif kind == 3:
            m.bool_value = self.rng.random() < 0.5
        elif kind == 4:
            m.struct_value.SetInParent()
            self.special(m.struct_value, depth + 1)
        else:
            m.list_value.SetInParent()
            self.special(m.list_value, depth + 1)

    def fill_map(self, m, field, depth):
        entries, entry = getattr(m, field.name), field.message_type.fields_by_name
        for _ in range(self.rng.randrange(4)):
            key = self.key(entry["key"])
            if entry["value"].message_type:
                self.fill(entries[key], depth + 1)
            else:
                entries[key] = self.scalar(entry["value"])

    def fill_field(self, m, field, depth):
        is_message = field.message_type is not None
        if field.label == field.LABEL_REPEATED and field.enum_type and field.enum_type.name == "NullValue":
            return  # Google's printer writes nulls, which its parser then refuses
        if is_message and field.message_type.GetOptions().map_entry:
            self.fill_map(m, field, depth)
        elif field.label == field.LABEL_REPEATED:
            for _ in range(self.rng.randrange(4)):
                if is_message:
                    self.fill(getattr(m, field.name).add(), depth + 1)
                else:
                    getattr(m, field.name).append(self.scalar(field))
        elif is_message:
            getattr(m, field.name).SetInParent()
            self.fill(getattr(m, field.name), depth + 1)
        else:
            setattr(m, field.name, self.scalar(field))

    def fill(self, m, depth=0):
        if self.special(m, depth):
            return
        density = self.rng.choice([0.1, 0.5, 0.9])
        for field in m.DESCRIPTOR.fields:
            if self.rng.random() < density and not (field.message_type and depth >= DEPTH_MAX):
                self.fill_field(m, field, depth)


def same(a, b, pool):
    """Whether two messages are the same to Google's printer: the bytes in an Any have no one order."""
    return json_format.MessageToJson(a, sort_keys=True, descriptor_pool=pool) == json_format.MessageToJson(
        b, sort_keys=True, descriptor_pool=pool)


def same_json(a, b):
    """Whether two JSON values mean the same; numbers by value, in strings too."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return not isinstance(a, (str, bool)) and not isinstance(b, (str, bool)) and float(a) == float(b)
    return type(a) is type(b) and a == b


def check(driver, pool, message, kind):
    cls = type(message)
    ours = driver.ask("from_wire", kind, message.SerializeToString().hex())
    back = json_format.Parse(ours, cls(), descriptor_pool=pool)
    assert same(message, back, pool), f"{kind}: Google reads our JSON otherwise: {ours}\n  {message}\n  {back}"
    theirs = json_format.MessageToJson(message, indent=None, descriptor_pool=pool, ensure_ascii=False)
    back = cls.FromString(bytes.fromhex(driver.ask("to_wire", kind, theirs)))
    # Google prints a float's shortest digits: what they are read as is what counts.
    wanted = json_format.Parse(theirs, cls(), descriptor_pool=pool)
    assert same(wanted, back, pool), f"{kind}: we read Google's JSON otherwise: {theirs}\n  {wanted}\n  {back}"
    ours = json.loads(driver.ask("from_wire+", kind, message.SerializeToString().hex()))
    theirs = json.loads(json_format.MessageToJson(message, including_default_value_fields=True, descriptor_pool=pool))
    assert same_json(ours, theirs), f"{kind}: other JSON:\n  {ours}\n  {theirs}"


def main():
    program, path = sys.argv[1:3]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(2**32)
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 600
    print(f"seed {seed}", flush=True)
    with open(path, "rb") as f:
        files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    classes = {}
    factory = message_factory.MessageFactory(pool)
    kinds = ["rich.v1." + name for name in ["Scalars", "Optionals", "Lists", "Maps", "Choice", "WellKnown", "Names", "Rich"]]
    for name in kinds + ANY_TYPES:
        classes[name] = factory.GetPrototype(pool.FindMessageTypeByName(name))
    maker = Maker(random.Random(seed), pool, classes)
    driver = Driver(program, path)
    for i in range(count):
        kind = kinds[i % len(kinds)]
        message = classes[kind]()
        maker.fill(message)
        check(driver, pool, message, kind)
    assert driver.close() == 0
    print(f"{count} messages, each converted both ways")


main()
