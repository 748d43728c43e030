"""Unions of documents that are discriminated by their `kind`, which other packages can add kinds to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import Discriminator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from restore.errors import ConfigError
from restore.schema.documents import Spec
from restore.schema.extensions import Extension, extensions, refuse_taken, unknown, warn_once

__all__ = ["Kinds"]


@dataclass(frozen=True)
class Kinds:
    """Makes a union of documents one by `kind`, open to the kinds that installed packages add to an entry-point group.

    A folder of kinds has one such line, `SamplerSpec = Annotated[DDIM | Langevin, Kinds("restore.samplers", Sampler)]`:
    for a type checker it is the union, for pydantic a registry, a schema and an error message. Another package's module
    is imported when a document names its kind, not before.

    Attributes:
        group: the entry-point group.
        base: the class that every added kind must have among its bases.
        needs: what it must have beside: fields, properties or methods.
    """

    group: str
    base: type[Spec] = Spec
    needs: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the union, with the kinds of others behind it."""
        classes: tuple[type[Spec], ...] = get_args(source) or (source,)
        own = {str(each.model_fields["kind"].default): each for each in classes}
        union = handler.generate_schema(Annotated[source, Discriminator("kind")]) if len(own) > 1 else handler(source)

        def validate(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
            if not isinstance(kind, str) or type(value) in classes:
                return inner(value)
            try:
                refuse_taken(self.group, kind, kind in own)
                added = None if kind in own else extensions(self.group, own).get(kind)
                other = None if added is None else self.loaded(added)
            except ConfigError as error:
                raise _problem(str(error)) from None
            if other is not None:
                return other.model_validate(value)
            if kind not in own:
                raise _problem(unknown("kind", kind, self.group, own))
            return inner(value)

        def dump(value: Any, inner: core_schema.SerializerFunctionWrapHandler, info: Any) -> Any:
            if type(value) in classes or not isinstance(value, Spec):
                return inner(value)
            return value.model_dump(mode=info.mode)

        serialization = core_schema.wrap_serializer_function_ser_schema(dump, info_arg=True, schema=union)
        return core_schema.no_info_wrap_validator_function(validate, union, serialization=serialization)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON schema of the union; kinds of packages that do not work are left out with a warning."""
        document = handler(schema)
        others = []
        for added in extensions(self.group).values():
            try:
                refuse_taken(self.group, added.name, False)
                others.append(handler(self.loaded(added).__pydantic_core_schema__))
            except ConfigError as error:
                warn_once(str(error))
        return {"anyOf": [document, *others]} if others else document

    def loaded(self, extension: Extension) -> type[Spec]:
        """Return the class of documents that an extension names.

        Raises:
            ConfigError: it is not such a class, or its `kind` is not the name that it is registered under.
        """
        found = extension.load()
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise ConfigError(f"{extension} must be a class derived from {self.base.__module__}.{self.base.__name__}")
        field = found.model_fields.get("kind")
        if field is None or field.default != extension.name:
            shown = "nothing" if field is None else repr(field.default)
            raise ConfigError(
                f"{extension} must have the field `kind: Literal[{extension.name!r}] = {extension.name!r}`; "
                f"its kind is {shown}"
            )
        has = {*found.model_fields, *(name for parent in found.__mro__ for name in vars(parent))}
        if missing := [name for name in self.needs if name not in has]:
            raise ConfigError(f"{extension} lacks {', '.join(missing)}, which every kind of {self.group} has")
        return found


def _problem(message: str) -> PydanticCustomError:
    """Return a problem of a document; braces in the message are no template's."""
    return PydanticCustomError("kind", "{message}", {"message": message})
