"""The WSGI application: blueprints over one database, and how failures are answered.

Owns that no answer carries SQL, a stack or a secret, and that a database that sleeps is a 503 to try again. It never
reads the environment.
"""

from typing import Final

import structlog
from flask import Flask
from flask.typing import ResponseReturnValue
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from werkzeug.exceptions import HTTPException

from database import AddressError, Failure
from functions.serverless_api.engine import Database
from functions.serverless_api.health import health
from functions.serverless_api.vehicles import vehicles

_log = structlog.get_logger()

_MAX_BODY_BYTES: Final = 64 * 1024

# Aurora wakes in 15 to 30 s; what the server has rolled back may be sent again at once.
_RETRY_AFTER: Final = {Failure.CONNECTION: "15", Failure.TIMEOUT: "1", Failure.CONFLICT: "1"}

_UNIQUE: Final = "23505"


def create_application(database: Database) -> Flask:
    """Return the application over this database."""
    application = Flask("serverless_api", static_folder=None)
    application.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    application.register_blueprint(health(database))
    application.register_blueprint(vehicles(database))

    @application.errorhandler(HTTPException)
    def refused(error: HTTPException) -> ResponseReturnValue:
        headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
        return {"error": error.name}, error.code or 500, headers

    @application.errorhandler(ValidationError)
    def invalid(error: ValidationError) -> ResponseReturnValue:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        details = [f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in faults]
        return {"error": "Invalid input", "details": details}, 400

    @application.errorhandler(AddressError)
    @application.errorhandler(SQLAlchemyError)
    def database_failed(error: AddressError | SQLAlchemyError) -> ResponseReturnValue:
        if isinstance(error, IntegrityError) and getattr(error.orig, "sqlstate", None) == _UNIQUE:
            return {"error": "A vehicle with this vin already exists"}, 409
        failure = database.failure(error)
        _log.error("database_failed", failure=failure.label, error=database.public_text(error))
        if failure in _RETRY_AFTER:
            answer = {"error": "Database unavailable", "reason": failure.label}
            return answer, 503, {"Retry-After": _RETRY_AFTER[failure]}
        if failure is Failure.DATA and isinstance(error, DBAPIError):
            return {"error": "A value cannot be stored"}, 400
        return {"error": "Internal server error"}, 500

    @application.errorhandler(Exception)
    def failed(error: Exception) -> ResponseReturnValue:
        _log.error("request_failed", error=type(error).__name__, exc_info=error)
        return {"error": "Internal server error"}, 500

    return application
