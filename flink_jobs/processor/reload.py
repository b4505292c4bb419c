"""Owns where filters come from while the processor runs: the file, or the metadata service; the last good set is kept.

A set that cannot be had or is nonsense changes nothing but a log line and a count. Must never know Kafka.
Facts: FL-61, FL-108 of the contract.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import structlog
import tenacity

from flink_jobs.filters import Filter, FilterError, FilterSet, load_filters, parse_filters
from flink_jobs.processor.settings import ProcessorSettings

_log: Final = structlog.get_logger(__name__)

_FILE_SECONDS: Final = 1.0
_RETRIES: Final = 3
_FIRST_WAIT_S: Final = 0.2

_KEYS: Final = {each.alias or name for name, each in Filter.model_fields.items()} | {"consumerGroup"}


class SourceError(Exception):
    """Say why a source has no filters that could be used."""


class Source(Protocol):
    """Something that filters are read from."""

    def read(self) -> FilterSet:
        """Return the filters as they are now.

        Raises:
            SourceError: They cannot be had, or are none.
        """


class FilterFile:
    """Read a filter file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> FilterSet:
        """Return the filters of the file."""
        try:
            return load_filters(self._path)
        except FilterError as error:
            raise SourceError(f"{self._path}: {error}") from error


class MetadataService:
    """Ask the metadata service; a call that fails by the network or by the server is made again three times.

    Args:
        url: The service, without `/api/v1`.
        schema_id: Whose filters.
        version: Of the schema.
        timeout: Seconds of one call.
    """

    def __init__(self, url: str, schema_id: str, version: str, timeout: float) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/filters"
        self._query = {"schemaId": schema_id, "version": version, "enabled": "true"}
        self._timeout = timeout
        self._retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(1 + _RETRIES),
            wait=tenacity.wait_exponential(_FIRST_WAIT_S, max=2),
            retry=tenacity.retry_if_exception(_passing),
            reraise=True,
        )

    def read(self) -> FilterSet:
        """Return the enabled filters that the service has."""
        try:
            answer = self._retry(self._ask)
        except httpx.HTTPError as error:
            raise SourceError(f"{self._url}: {type(error).__name__}: {error}") from error
        try:
            return parse_filters({"version": 1, "filters": _listed(_json(answer))})
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{self._url} answers no filters: {error}") from error

    def _ask(self) -> httpx.Response:
        answer = httpx.get(self._url, params=self._query, timeout=self._timeout)
        return answer.raise_for_status()


def _passing(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error
    return isinstance(error, httpx.TransportError)


def _json(answer: httpx.Response) -> Any:
    return answer.json(parse_float=Decimal)


def _listed(document: Any) -> list[object]:
    """Return the filters as the definition has them: the service may say more of a filter than belongs to it."""
    filters = document.get("filters") if isinstance(document, Mapping) else document
    if not isinstance(filters, list):
        raise ValueError("neither a list nor an object with the list `filters`")  # noqa: TRY004 - as all other nonsense
    return [_own(each) if isinstance(each, Mapping) else each for each in filters]


def _own(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key in _KEYS and value is not None}


class FilterFeed:
    """Hold the last good set, and look for a newer one from a thread of its own.

    Args:
        source: Where sets come from.
        first: The set to begin with.
        seconds: How often the source is read.
        refused: Called for each reading that gave nothing.
        unchanged: Called before each reading; True when nothing can have changed since the last one.
    """

    def __init__(
        self,
        source: Source,
        first: FilterSet,
        seconds: float,
        refused: Callable[[], None],
        unchanged: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source = source
        self._newest = first
        self._seconds = seconds
        self._refused = refused
        self._unchanged = unchanged

    def newest(self) -> FilterSet:
        """Return the last good set."""
        return self._newest

    def look(self) -> None:
        """Read the source once, and keep what it gives if that is good and new."""
        if self._unchanged():
            return
        try:
            found = self._source.read()
        except SourceError as error:
            _log.warning("filters_kept", reason=str(error), filters=len(self._newest.filters))
            self._refused()
            return
        if found != self._newest:
            self._newest = found
            if not any(each.runs_on("spring") for each in found.filters):
                _log.warning("filters_empty", remedy="nothing is routed: enable a filter with the target spring")

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again while the block runs."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(self._seconds):
                self.look()

        thread = threading.Thread(target=work, name="filters", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()


def feed_of(settings: ProcessorSettings, refused: Callable[[], None]) -> FilterFeed:
    """Return the feed that the settings ask for, with its first set read.

    With a metadata service, the service decides; the file is what to begin with while it does not answer.

    Raises:
        SourceError: There is no good set to begin with.
    """
    file = FilterFile(settings.filters_file)
    if settings.metadata_service_url is None:
        changed = _Changes(settings.filters_file)
        return FilterFeed(file, file.read(), _FILE_SECONDS, refused, unchanged=lambda: not changed())
    service = MetadataService(
        str(settings.metadata_service_url),
        settings.metadata_schema_id,
        settings.metadata_schema_version,
        settings.metadata_service_timeout,
    )
    try:
        first = service.read()
    except SourceError as error:
        _log.warning("filters_from_file", reason=str(error), file=str(settings.filters_file))
        refused()
        first = file.read()
    return FilterFeed(service, first, settings.filters_reload_seconds, refused)


class _Changes:
    """Tell whether a file is another one than at the last question."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._seen()

    def __call__(self) -> bool:
        before, self._known = self._known, self._seen()
        return self._known != before

    def _seen(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
