from collections.abc import Callable

from cdc.pgoutput.messages import Row

class RowWriter:
    def __init__(
        self,
        names: list[bytes],
        kinds: list[int],
        converters: list[Callable[[str], object] | None],
        key: list[int],
        tails: dict[str, bytes],
    ) -> None: ...
    def write(self, row: Row, operation: str, now_ms: int) -> tuple[bytes, bytes] | None: ...
