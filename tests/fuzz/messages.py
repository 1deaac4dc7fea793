"""Messages made from their descriptors: whatever the proto gains is fuzzed without a word here."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

# (field, value): a value that a field of that name is likely to have; of an empty name, a field that is not named.
Words = Sequence[tuple[str, str]]
_DEPTH = 4
_INT32 = (0, 1, -1, 7, 200, 201, 1000, 2**31 - 1, -(2**31))
_INT64 = (*_INT32, 2**53, 2**63 - 1, -(2**63), 253402300799, 253402300800, -62135596800, -62135596801)
_LIKELY = st.sampled_from((0, 1, 7))
_ODD_TEXTS = ("", "\0", "a\0b", " ", "é", "کرتا", "\u200f", "%00", "' OR 1=1 --", "{}", "../..", "x" * 3000, "\ufeff")


def messages(descriptor: Descriptor, words: Words, depth: int = _DEPTH) -> st.SearchStrategy[Any]:
    """`words` make calls get further than the first check."""
    fields = {field.name: _field(field, words, depth) for field in descriptor.fields if depth or not _nests(field)}
    values = st.one_of(st.fixed_dictionaries(fields), st.fixed_dictionaries({}, optional=fields))
    return values.map(lambda values: _made(descriptor, values))


def mutated(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes of a message with some of them changed, left out or put in; or any bytes."""
    edit = st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6))
    return st.one_of(st.builds(_edited, valid, st.lists(edit, min_size=1, max_size=4)), st.binary(max_size=200))


def _edited(raw: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    changed = bytearray(raw)
    for place, length, piece in edits:
        start = int(place * len(changed))
        changed[start : start + length] = piece
    return bytes(changed)


def _nests(field: FieldDescriptor) -> bool:
    return field.message_type is not None


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _field(field: FieldDescriptor, words: Words, depth: int) -> st.SearchStrategy[Any]:
    if _is_map(field):
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        return st.dictionaries(_one(key, words, depth - 1), _one(value, words, depth - 1), max_size=3)
    one = _one(field, words, depth)
    return st.lists(one, max_size=4) if field.is_repeated else one


def _one(field: FieldDescriptor, words: Words, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type, words, depth - 1)
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        likely = st.sampled_from(known)
        return st.one_of(likely, likely, likely, st.sampled_from((-1, 99, 2**31 - 1)))
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING and field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=70)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        named = [word for name, word in words if name == field.name]
        likely = st.sampled_from(named or [word for name, word in words if not name])
        return st.one_of(likely, likely, likely, st.sampled_from(_ODD_TEXTS), st.text(max_size=30))
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind == FieldDescriptor.CPPTYPE_INT32:
        return st.one_of(_LIKELY, _LIKELY, st.sampled_from(_INT32), st.integers(-(2**31), 2**31 - 1))
    assert kind == FieldDescriptor.CPPTYPE_INT64, f"{field.full_name} is of a kind that is not made here yet"
    return st.one_of(_LIKELY, st.sampled_from(_INT64), st.integers(-(2**63), 2**63 - 1))


def _made(descriptor: Descriptor, values: dict[str, Any]) -> Any:
    message = GetMessageClass(descriptor)()
    for name, value in values.items():
        field = descriptor.fields_by_name[name]
        if _is_map(field):
            for key, entry in value.items():
                getattr(message, name)[key] = entry
        elif field.is_repeated:
            getattr(message, name).extend(value)
        elif field.message_type is not None:
            getattr(message, name).CopyFrom(value)
            getattr(message, name).SetInParent()
        else:
            setattr(message, name, value)
    return message
