"""Between Kubernetes' JSON and the structs of this room, in two manners.

What an API server sent is taken as it is: unknown fields are passed over and null means absent. What a person wrote is
read strictly: every unknown field and every wrong value is named with its path, so that the caller can add the line.
"""

import difflib
import types
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from inflight.objects.quantity import Quantity, QuantityError, parse_quantity
from inflight.objects.times import Time, parse_time

Path = tuple[str | int, ...]
T = TypeVar("T")

MAX_BYTES: Final = 8 << 20
"""A bigger JSON text is refused: etcd holds no object above 1.5 MiB."""
MAX_ERRORS: Final = 100
"""So many findings are collected from one object; who has more will run the check again."""

# Go trims these around a quantity in JSON (unicode.IsSpace).
_SPACES = "".join(
    map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)


class Cause(StrEnum):
    """Why the API server refuses a field: the `reason` of the causes in its answer."""

    INVALID = "FieldValueInvalid"
    REQUIRED = "FieldValueRequired"
    NOT_SUPPORTED = "FieldValueNotSupported"
    FORBIDDEN = "FieldValueForbidden"
    TOO_LONG = "FieldValueTooLong"


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong at one place of an object."""

    path: Path
    """Field names as on the wire and list positions from 0: `("spec", "metrics", 0, "type")`."""
    problem: str
    reason: Cause = Cause.INVALID

    @property
    def field(self) -> str:
        """The path as the API server's answer has it, which names no single label or annotation."""
        return format_path(self.path[:2] if self.path[:1] == ("metadata",) and _is_whole(self.path) else self.path)

    def __str__(self) -> str:
        where = format_path(self.path)
        return f"{where}: {self.problem}" if where else self.problem


def _is_whole(path: Path) -> bool:
    return len(path) > 2 and path[1] in {"labels", "annotations"}


class ObjectError(ValueError):
    """An object that cannot be read; `errors` has every reason found."""

    def __init__(self, what: str, errors: tuple[FieldError, ...]) -> None:
        self.errors = errors
        shown = "; ".join(str(error) for error in errors[:10])
        more = f"; and {len(errors) - 10} more" if len(errors) > 10 else ""
        super().__init__(f"no {what}: {shown}{more}")


def format_path(path: Path) -> str:
    """`("spec", "metrics", 0, "type")` as `spec.metrics[0].type`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def encode_hook(value: object) -> str:
    """For msgspec's encoders: quantities in canonical form, times as RFC 3339 seconds."""
    if isinstance(value, Quantity | Time):
        return str(value)
    raise NotImplementedError(f"objects of type {type(value).__name__} have no JSON form")


def decode_hook(wanted: type, value: object) -> object:
    """For msgspec's decoders: texts and numbers to quantities, texts to times."""
    if wanted is Quantity:
        return _quantity(value)
    if wanted is Time:
        if isinstance(value, str):
            return parse_time(value)
        raise ValueError(f"must be a time such as 2026-11-24T22:41:00Z, not {_kind(value)}")
    raise NotImplementedError(f"objects of type {wanted.__name__} have no JSON form")


def to_json(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=encode_hook)


def to_plain(value: object) -> Any:
    """As the dicts, lists, texts and numbers that JSON knows; fields at their default are left out."""
    return msgspec.json.decode(to_json(value))


def decode(data: bytes | str | Mapping[str, Any], wanted: type[T], what: str, max_bytes: int = MAX_BYTES) -> T:
    """From JSON or from plain values, in the tolerant manner. Raises ObjectError: "no `what`: ..."."""
    if isinstance(data, bytes | str) and len(data) > max_bytes:
        raise ObjectError(what, (FieldError((), f"it has {len(data)} bytes; at most {max_bytes} are read"),))
    try:
        try:
            if isinstance(data, bytes | str):
                return msgspec.json.decode(data, type=wanted, dec_hook=decode_hook)
            return msgspec.convert(data, wanted, dec_hook=decode_hook)
        except msgspec.ValidationError:
            # Mostly a null where a default could stand: too rare to look for in every object.
            plain = msgspec.json.decode(data) if isinstance(data, bytes | str) else data
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ObjectError(what, (FieldError((), f"not JSON: {error}"),)) from error
    return convert(plain, wanted, what, strict=False)


def convert(value: Any, wanted: type[T], what: str, *, strict: bool) -> T:
    """From plain values, with every error and its path; `strict` makes unknown fields errors. Raises ObjectError."""
    try:
        if value is not None:
            value = _without_nulls(value) if strict else _as_go_reads(value, wanted)
        errors: list[FieldError] = []
        _check(value, wanted, (), strict, errors)
        if errors:
            raise ObjectError(what, tuple(errors))
        return msgspec.convert(value, wanted, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        raise ObjectError(what, (FieldError((), str(error)),)) from error
    except RecursionError as error:
        raise ObjectError(what, (FieldError((), "nested too deeply"),)) from error


def _quantity(value: object) -> Quantity:
    if isinstance(value, str):
        return parse_quantity(value.strip(_SPACES))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return parse_quantity(str(value))
    raise QuantityError(f"must be a quantity such as 5, 500m or 2Gi, not {_kind(value)}")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value]
    return value


def _as_go_reads(value: Any, wanted: Any) -> Any:
    """Nulls as Go's decoder takes them: a field that is absent, a zero in a list or a map."""
    origin = get_origin(wanted)
    if origin is Annotated:
        return _as_go_reads(value, get_args(wanted)[0])
    if origin in {Union, types.UnionType}:
        return None if value is None else _as_go_reads(value, get_args(wanted)[0])
    is_struct = isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)
    if value is None:
        kind = dict if is_struct else origin or wanted
        return _ZEROS.get(kind)
    if origin is tuple and isinstance(value, list | tuple):
        return [_as_go_reads(item, get_args(wanted)[0]) for item in value]
    if origin is dict and isinstance(value, Mapping):
        return {key: _as_go_reads(item, get_args(wanted)[1]) for key, item in value.items()}
    if is_struct and isinstance(value, Mapping):
        fields = _fields(wanted)
        given = {key: item for key, item in value.items() if item is not None}
        needed = {name: None for name, (_, is_required) in fields.items() if is_required and name not in given}
        return {
            key: _as_go_reads(item, fields[key][0]) if key in fields else item for key, item in (given | needed).items()
        }
    return value


_ZEROS: Final[dict[Any, Any]] = {dict: {}, tuple: [], str: "", bool: False, int: 0, float: 0.0, Quantity: "0"}


def _check(value: Any, wanted: Any, path: Path, strict: bool, errors: list[FieldError]) -> None:
    """Adds what is wrong with `value` as a `wanted`: a struct, a list, a mapping or one of the few single values."""
    if len(errors) >= MAX_ERRORS:
        return
    origin = get_origin(wanted)
    if origin is Annotated:
        _check_single(value, wanted, path, errors)
    elif origin in {Union, types.UnionType}:
        # The only unions here are with None, and nulls are gone.
        _check(value, get_args(wanted)[0], path, strict, errors)
    elif origin is tuple:
        _check_list(value, get_args(wanted)[0], path, strict, errors)
    elif origin is dict:
        _check_mapping(value, get_args(wanted)[1], path, strict, errors)
    elif isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        _check_struct(value, wanted, path, strict, errors)
    elif wanted is not Any:
        _check_single(value, wanted, path, errors)


def _check_list(value: Any, item_type: Any, path: Path, strict: bool, errors: list[FieldError]) -> None:
    if not isinstance(value, list):
        errors.append(FieldError(path, f"must be a list, not {_kind(value)}"))
        return
    for index, item in enumerate(value):
        _check(item, item_type, (*path, index), strict, errors)


def _check_mapping(value: Any, item_type: Any, path: Path, strict: bool, errors: list[FieldError]) -> None:
    if not isinstance(value, dict):
        errors.append(FieldError(path, f"must be a mapping, not {_kind(value)}"))
        return
    for key, item in value.items():
        if not isinstance(key, str):
            errors.append(FieldError(path, f"the key {key!r} must be text: put it in quotes"))
        else:
            _check(item, item_type, (*path, key), strict, errors)


def _check_struct(value: Any, wanted: type[msgspec.Struct], path: Path, strict: bool, errors: list[FieldError]) -> None:
    if not isinstance(value, dict):
        errors.append(FieldError(path, f"must be a mapping, not {_kind(value)}"))
        return
    fields = _fields(wanted)
    for name, (field_type, is_required) in fields.items():
        if name in value:
            _check(value[name], field_type, (*path, name), strict, errors)
        elif is_required:
            errors.append(FieldError((*path, name), "the field is missing"))
    if strict:
        errors += [FieldError((*path, key), _unknown(str(key), list(fields))) for key in value if key not in fields]


def _check_single(value: Any, wanted: Any, path: Path, errors: list[FieldError]) -> None:
    try:
        msgspec.convert(value, wanted, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        errors.append(FieldError(path, _in_words(value, wanted, str(error))))


@cache
def _fields(wanted: type[msgspec.Struct]) -> dict[str, tuple[Any, bool]]:
    """Name on the wire to type, and whether it must be there."""
    hints = get_type_hints(wanted, include_extras=True)
    return {field.encode_name: (hints[field.name], field.required) for field in msgspec.structs.fields(wanted)}


def _unknown(key: str, known: list[str]) -> str:
    same = [name for name in known if name.lower() == key.lower()] or difflib.get_close_matches(key[:100], known, n=1)
    return f"unknown field; {same[0]} is meant?" if same else f"unknown field; known here: {', '.join(known)}"


def _in_words(value: Any, wanted: Any, message: str) -> str:
    kinds = {str: "text (put it in quotes)", int: "a whole number", bool: "true or false"}
    base = get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted
    if base is int and isinstance(value, int) and not isinstance(value, bool):
        return f"{value} is out of range: whole numbers of 32 bits are read here"
    return f"must be {kinds[base]}, not {_kind(value)}" if base in kinds else message


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the switch {str(value).lower()}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, list | tuple) else "a mapping"
