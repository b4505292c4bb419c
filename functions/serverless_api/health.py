"""The blueprint of health: of the process, and apart from it of the database (LC-163)."""

import time

import psycopg
import structlog
from flask import Blueprint
from flask.typing import ResponseReturnValue

from database import AddressError
from functions.serverless_api.engine import Database

_log = structlog.get_logger()


def health(database: Database) -> Blueprint:
    """Return the blueprint; only its second route touches the database."""
    blueprint = Blueprint("health", __name__, url_prefix="/api/health")

    @blueprint.get("")
    def process() -> ResponseReturnValue:
        return {"status": "healthy"}

    @blueprint.get("/database")
    def of_database() -> ResponseReturnValue:
        began = time.perf_counter()
        try:
            database.check()
        except TimeoutError:
            reason = f"no answer within {database.settings.db_health_seconds:g} s"
        except (psycopg.Error, AddressError) as error:
            reason = database.failure(error).label
            _log.warning("database_unhealthy", error=database.public_text(error))
        else:
            return {"status": "healthy", "milliseconds": round((time.perf_counter() - began) * 1000, 2)}
        return {"status": "unhealthy", "reason": reason}, 503

    return blueprint
