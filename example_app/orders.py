"""What the API is about: orders."""

from pydantic import BaseModel, Field


class Order(BaseModel):
    """What a caller orders."""

    item: str = Field(min_length=1)
    quantity: int = Field(default=1, ge=1)


class PlacedOrder(Order):
    """An order, and the app client that placed it."""

    placed_by: str
