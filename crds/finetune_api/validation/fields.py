"""Finding one's way in the models by the names that manifests use."""

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic.main import IncEx


def model_at(root: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel] | None:
    """The model at a location (camelCase names and list indices); None if no model stands there."""
    model: type[BaseModel] | None = root
    for part in location:
        if isinstance(part, int):
            continue
        if model is None:
            return None
        field = field_named(model, part)
        model = None if field is None else nested_model(field.annotation)
    return model


def field_named(model: type[BaseModel], name: str) -> FieldInfo | None:
    """A model's field by the name that manifests use; None if there is none."""
    return next((field for key, field in model.model_fields.items() if (field.alias or key) == name), None)


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `Spec`, `Spec | None` or `list[Spec]`; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, Annotated, list):
        for argument in get_args(annotation):
            if (model := nested_model(argument)) is not None:
                return model
    return None


def value_at(model: BaseModel, path: str) -> Any:
    """The value at a dotted camelCase path below a model; None where a part of the way is absent.

    Raises `KeyError` for a path that no model has.
    """
    value: Any = model
    for part in path.split("."):
        if value is None:
            return None
        value = getattr(value, _attribute(type(value), part))
    return value


def default_at(root: type[BaseModel], path: str) -> Any:
    """The default at a dotted camelCase path, as a manifest without that field would get it.

    Raises `KeyError` for a path that no model has.
    """
    *parents, name = path.split(".")
    model = model_at(root, parents)
    if model is None:
        raise KeyError(path)
    return default_of(model.model_fields[_attribute(model, name)])


def default_of(field: FieldInfo) -> Any:
    """What a field holds where a manifest does not name it: of a section, the model with its defaults."""
    default = field.get_default()
    section = nested_model(field.annotation)
    return section() if section is not None and default == {} else default


def chosen(model: BaseModel, exclude: IncEx | None = None) -> dict[str, Any]:
    """What a model holds beside its defaults, as JSON; `exclude` is pydantic's, in names of attributes."""
    dumped = model.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=exclude)
    return _without_untouched(dumped, type(model))


def _without_untouched(dumped: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The same without the sections that hold nothing: pydantic does not take them for their default `{}`."""
    result: dict[str, Any] = {}
    for name, value in dumped.items():
        field = field_named(model, name)
        section = nested_model(field.annotation) if field is not None else None
        if section is None or field is None:
            result[name] = value
        elif isinstance(value, list):
            result[name] = [_without_untouched(item, section) for item in value]
        elif (inner := _without_untouched(value, section)) or field.default != {}:
            result[name] = inner
    return result


def _attribute(model: type[BaseModel], name: str) -> str:
    for key, field in model.model_fields.items():
        if (field.alias or key) == name:
            return key
    raise KeyError(f"{model.__name__} has no field {name}")


def plain(value: Any) -> JsonValue:
    """A field's value as JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def walk(model: BaseModel, path: str = "") -> Iterator[tuple[str, BaseModel]]:
    """Every model below a model, with its camelCase path, the root (path "") first."""
    yield path, model
    for key, field in type(model).model_fields.items():
        value = getattr(model, key)
        here = f"{path}.{field.alias or key}" if path else field.alias or key
        if isinstance(value, BaseModel):
            yield from walk(value, here)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from walk(item, f"{here}[{index}]")
