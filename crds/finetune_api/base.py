"""What every model of the API shares: camelCase JSON, closed field sets, immutability, and the field types.

Nulls follow the Kubernetes API server: a null is the same as an absent field, in a field that there is.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

GROUP: Final = "finetune.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

AUTO: Final = "auto"
"""What a field holds that the product decides itself."""
AUTO_PATTERN: Final = f"^{AUTO}$"

MAX_JOB_NAME_LENGTH: Final = 40
"""Children are called `<job>-<attempt>-<rank>`, and a pod's host name may have 63 characters."""


class ApiModel(BaseModel):
    """A section of the API: closed, frozen, strict about types, camelCase in JSON and snake_case in Python.

    Strict means that `"3"` is not a number and `1` is not a truth value, as for the API server.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _absent_if_null(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            fields = {field.alias for field in cls.model_fields.values()} if None in data.values() else ()
            return {key: value for key, value in data.items() if value is not None or key not in fields}
        return data

    @classmethod
    def from_json_object(cls, data: Mapping[str, Any]) -> Self:
        """The model for a JSON object with camelCase keys (snake_case is refused, as the API server does).

        Raises `pydantic.ValidationError`.
        """
        return cls.model_validate(data, by_alias=True, by_name=False)

    def to_json_object(self) -> dict[str, JsonValue]:
        """Plain JSON values under camelCase keys; fields without a value are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(ApiModel):
    """A part of the status. Fields that this version does not know are ignored, for the sake of rollbacks."""

    model_config = ConfigDict(extra="ignore")


def cel(rule: str, message: str, *, field_path: str | None = None) -> dict[str, JsonValue]:
    """One CEL rule of the CRD, in the form of `x-kubernetes-validations`."""
    validation: dict[str, JsonValue] = {"rule": rule, "message": message}
    if field_path is not None:
        validation["fieldPath"] = field_path
    return validation


def cel_rules(*rules: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """JSON schema extension that carries CEL rules: `ConfigDict(json_schema_extra=cel_rules(cel(…), …))`."""
    return {"x-kubernetes-validations": list(rules)}


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _quantity_text(value: object) -> object:
    number = _integral(value)
    if not isinstance(number, int) or isinstance(number, bool):
        return value
    if number < 0:
        raise PydanticKnownError("greater_than_equal", {"ge": 0})
    if number > MAX_QUANTITY:
        raise PydanticKnownError("less_than_equal", {"le": MAX_QUANTITY})
    return str(number)


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is before the year 1 or after the year 9999 in UTC") from error


def _whole_seconds(value: datetime) -> datetime:
    return _in_utc(value).replace(microsecond=0)


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _each_once(key: Callable[[Any], object], what: str) -> AfterValidator:
    def check(items: list[Any]) -> list[Any]:
        seen: set[object] = set()
        for item in items:
            if key(item) in seen:
                raise ValueError(f"{what} {key(item)!r} appears twice; every {what} may appear once")
            seen.add(key(item))
        return items

    return AfterValidator(check)


def keyed_by(key: str) -> tuple[AfterValidator, Any]:
    """Metadata of a list whose items are told apart by one field, also for server-side apply."""
    extra: dict[str, JsonValue] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return _each_once(lambda item: getattr(item, key), key), Field(json_schema_extra=extra)


Integer = Annotated[int, BeforeValidator(_integral)]
"""An integer; `3.0` is one too, as in JSON."""


class _OrAuto:
    """Lets `auto` stand in the place of a number: metadata of `number | Literal["auto"]`.

    A mistake is told as one about the number, and the JSON schema is Kubernetes' int-or-string.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def parsed(value: object, number: ValidatorFunctionWrapHandler) -> object:
            return value if value == AUTO else number(value)

        number, _ = get_args(source)
        return core_schema.no_info_wrap_validator_function(
            parsed,
            handler.generate_schema(number),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        number = {key: value for key, value in handler(schema).items() if key != "type"}
        choices = [{"type": "integer"}, {"type": "string"}]
        return number | {"x-kubernetes-int-or-string": True, "anyOf": choices, "pattern": AUTO_PATTERN}


OR_AUTO: Final = _OrAuto()

Count = Annotated[Integer, Field(ge=0, le=2**53 - 1)]
"""How many: steps, tokens, seconds, bytes. As large as every reader of JSON knows exactly."""

Instant = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_in_utc)]
"""A moment in UTC, as exact as it was given."""

Timestamp = Annotated[
    AwareDatetime,
    Field(strict=False),
    AfterValidator(_whole_seconds),
    PlainSerializer(_rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in UTC, in whole seconds, as Kubernetes writes it."""

QUANTITY_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"

MAX_QUANTITY: Final = 2**53
"""Of quantities that are written as a number: what every reader of JSON knows exactly; 9 petabytes."""

Quantity = Annotated[
    str,
    BeforeValidator(_quantity_text),
    Field(pattern=QUANTITY_PATTERN, max_length=32),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
            "maxLength": 32,
            "minimum": 0,
            "maximum": MAX_QUANTITY,
        }
    ),
]
"""A Kubernetes quantity (`500m`, `2`, `8Gi`); an integer is taken as its text."""

DNS_LABEL_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN_PATTERN: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"

DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL_PATTERN)]
"""A Kubernetes name of the stricter kind: lower-case letters, digits and `-`, at most 63 characters."""

DnsSubdomain = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN_PATTERN)]
"""The name of a Kubernetes object: lower-case letters, digits, `-` and `.`, at most 253 characters."""

LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]
LabelMap = Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]

OBJECT_KEY_PATTERN: Final = r"^[-._a-zA-Z0-9]+$"

ObjectKey = Annotated[str, Field(min_length=1, max_length=253, pattern=OBJECT_KEY_PATTERN)]
"""A key of a ConfigMap or a Secret."""

FilePath = Annotated[str, Field(min_length=1, max_length=1024)]
Url = Annotated[str, Field(min_length=1, max_length=2048)]
ShortText = Annotated[str, Field(min_length=1, max_length=256)]

HUB_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$"

HubId = Annotated[str, Field(min_length=1, max_length=128, pattern=HUB_ID_PATTERN)]
"""An id on the Hugging Face hub: `name` or `organisation/name`."""

FORMS: Final[Mapping[str, str]] = {
    HUB_ID_PATTERN: "organisation/name, or a name alone, of letters, digits, '-', '_' and '.'",
    QUANTITY_PATTERN: "a number, with a unit where it needs one: 500m, 2 or 8Gi",
    DNS_LABEL_PATTERN: "lower-case letters, digits and '-', with a letter or digit at both ends",
    DNS_SUBDOMAIN_PATTERN: "lower-case letters, digits, '-' and '.', with a letter or digit at both ends",
    OBJECT_KEY_PATTERN: "letters, digits, '-', '_' and '.'",
}
"""What the patterns ask for, in words."""

FloatType = Literal["auto", "fp32", "bf16", "fp16"]
