"""What every block of a config is, what overrides one, and what a name in it may look like."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]


class Block(BaseModel):
    """A block of the config: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def overriding(block: type[Block], name: str) -> type[Block]:
    """Return a block with the same keys, each optional and without the cross checks, for overrides."""
    fields = {}
    for key, info in block.model_fields.items():
        annotation: Any = info.annotation
        for constraint in info.metadata:
            annotation = Annotated[annotation, constraint]
        fields[key] = (annotation | None, Field(None, description=info.description))
    return create_model(name, __base__=Block, __module__=block.__module__, **fields)  # type: ignore[call-overload]
