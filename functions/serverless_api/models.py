"""The tables of the API, as SQLAlchemy models, and what a request may say of them.

Must never know HTTP or a connection.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import CheckConstraint, DateTime, Index, String, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]*$")]


class Base(DeclarativeBase):
    """The metadata of all tables."""


class Vehicle(Base):
    """One vehicle; its number is unique."""

    __tablename__ = "vehicles"
    __table_args__ = (
        CheckConstraint("year BETWEEN 1886 AND 2100", name="vehicles_year"),
        Index("vehicles_by_creation", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    vin: Mapped[str] = mapped_column(String(17), unique=True)
    make: Mapped[str] = mapped_column(String(100))
    model: Mapped[str] = mapped_column(String(100))
    year: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )

    # The server's own times come back with the statement that writes them, not by another.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - declared by SQLAlchemy as it is

    def document(self) -> dict[str, Any]:
        """Return the vehicle as the API shows it."""
        return {
            "id": str(self.id),
            "vin": self.vin,
            "make": self.make,
            "model": self.model,
            "year": self.year,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
        }


class VehicleInput(BaseModel):
    """What a client says of a vehicle; the number as ISO 3779 has it, without I, O and Q."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vin: Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-HJ-NPR-Za-hj-npr-z0-9]{17}$")]
    make: Name
    model: Name
    year: Annotated[int, Field(ge=1886, le=2100, strict=True)]
