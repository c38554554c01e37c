"""The orders of the API."""

from pydantic import BaseModel, Field


class Order(BaseModel):
    """An order as a caller sends it."""

    item: str = Field(min_length=1)
    quantity: int = Field(default=1, ge=1)


class PlacedOrder(Order):
    """An order, and the app client that placed it."""

    placed_by: str
