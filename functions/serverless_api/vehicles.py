"""The blueprint of vehicles: create, list, read, replace, delete.

Owns the statements on the table of vehicles. How failures are answered, `application` says.
"""

from uuid import UUID

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, Field
from sqlalchemy import select

from functions.serverless_api.engine import Database
from functions.serverless_api.models import Vehicle, VehicleInput


class Page(BaseModel):
    """Which part of the list."""

    limit: int = Field(default=50, ge=1, le=200)
    offset: int = Field(default=0, ge=0, le=2**31)


def vehicles(database: Database) -> Blueprint:
    """Return the blueprint over this database."""
    blueprint = Blueprint("vehicles", __name__, url_prefix="/api/vehicles")

    @blueprint.post("")
    def create() -> ResponseReturnValue:
        given = VehicleInput.model_validate_json(request.get_data())
        with database.session() as session:
            vehicle = Vehicle(**given.model_dump())
            session.add(vehicle)
            # The answer needs the server's times.
            session.flush()
            return vehicle.document(), 201

    @blueprint.get("")
    def list_page() -> ResponseReturnValue:
        page = Page.model_validate(request.args.to_dict())
        newest = select(Vehicle).order_by(Vehicle.created_at.desc(), Vehicle.id)
        with database.session() as session:
            found = session.scalars(newest.limit(page.limit).offset(page.offset)).all()
            return {"vehicles": [each.document() for each in found], "count": len(found)}

    @blueprint.get("/<uuid:vehicle_id>")
    def read(vehicle_id: UUID) -> ResponseReturnValue:
        with database.session() as session:
            vehicle = session.get(Vehicle, vehicle_id)
            return vehicle.document() if vehicle else _unknown(vehicle_id)

    @blueprint.put("/<uuid:vehicle_id>")
    def replace(vehicle_id: UUID) -> ResponseReturnValue:
        given = VehicleInput.model_validate_json(request.get_data())
        with database.session() as session:
            vehicle = session.get(Vehicle, vehicle_id, with_for_update=True)
            if vehicle is None:
                return _unknown(vehicle_id)
            for name, value in given.model_dump().items():
                setattr(vehicle, name, value)
            session.flush()
            return vehicle.document()

    @blueprint.delete("/<uuid:vehicle_id>")
    def delete(vehicle_id: UUID) -> ResponseReturnValue:
        with database.session() as session:
            vehicle = session.get(Vehicle, vehicle_id, with_for_update=True)
            if vehicle is None:
                return _unknown(vehicle_id)
            session.delete(vehicle)
            return "", 204

    return blueprint


def _unknown(vehicle_id: UUID) -> ResponseReturnValue:
    return {"error": "Vehicle not found", "id": str(vehicle_id)}, 404
