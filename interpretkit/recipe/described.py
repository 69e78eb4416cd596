"""Models whose fields are described by `Field(description=…)` or by a text below them, read when it is asked for."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema


class Described(BaseModel):
    """A model that knows what each of its fields is.

    pydantic's own `use_attribute_docstrings` reads the source of every class as it is made, which takes a fifth of the
    time of a command that uses few of all the options there are. Validators, too, wait until they are needed.
    """

    model_config = ConfigDict(defer_build=True)

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """Return the description of each field by the field's name; empty for a field without one.

        Example:
            >>> from interpretkit.recipe.entries import HubWeights
            >>> HubWeights.descriptions()["revision"]
            'Branch, tag or commit.'
        """
        below: dict[str, str] = {}
        for base in reversed(cls.__mro__):
            if issubclass(base, Described):
                below |= dict(_texts_below_fields(base))
        fields = cls.model_fields.items()
        return {name: field.description or below.get(name, "") for name, field in fields}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the descriptions."""
        json_schema = handler.resolve_ref_schema(handler(schema))
        for name, text in cls.descriptions().items():
            key = cls.model_fields[name].alias or name
            if text:
                json_schema["properties"][key]["description"] = text
        return json_schema


def _texts_below_fields(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    try:
        source = inspect.getsource(model)
    except (OSError, TypeError):  # a class typed at a prompt has no file
        return
    (definition,) = ast.parse(textwrap.dedent(source)).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for field, text in pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as words)):
                yield name, inspect.cleandoc(words)
