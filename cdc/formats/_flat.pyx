# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Owns the compiled writing of flat JSON: a row as the stream sent it in, the bytes of key and value out.

It writes what is ordinary. For a row that it cannot write, be it a column that was left out, a text that is none of its
type or a value that JSON cannot hold, it answers with None, and the plain way writes it or says what is wrong.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint8_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy

import orjson


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL


cdef enum:
    # How a column's text becomes its JSON value. The numbers are those of `cdc.formats.flat`.
    TEXT = 0
    INSTANT = 1
    NUMBER = 2
    BOOLEAN = 3
    CONVERTED = 4

    # Of one byte the longest escape is \u001f.
    WIDEST = 6
    # More than the buffer is kept for.
    KEPT = 1 << 20
    # The clock in milliseconds and the braces.
    FRAME = 32

cdef char* _HEX = "0123456789abcdef"
cdef char[256] _ESCAPES


cdef void _prepare() noexcept:
    cdef int each
    for each in range(256):
        _ESCAPES[each] = c"u" if each < 0x20 else 0
    _ESCAPES[c"\""] = c"\""
    _ESCAPES[c"\\"] = c"\\"
    _ESCAPES[8] = c"b"
    _ESCAPES[9] = c"t"
    _ESCAPES[10] = c"n"
    _ESCAPES[12] = c"f"
    _ESCAPES[13] = c"r"


_prepare()


cdef inline char* _escaped(char* to, const char* text, Py_ssize_t size) noexcept nogil:
    """Write a text without its quotes, escaped as orjson does; `to` has room for six times its size."""
    cdef Py_ssize_t at = 0, run = 0
    cdef uint8_t byte
    cdef char escape
    while at < size:
        byte = <uint8_t>text[at]
        escape = _ESCAPES[byte]
        if escape:
            memcpy(to, text + run, at - run)
            to += at - run
            to[0] = c"\\"
            to[1] = escape
            to += 2
            if escape == c"u":
                to[0] = c"0"
                to[1] = c"0"
                to[2] = _HEX[byte >> 4]
                to[3] = _HEX[byte & 15]
                to += 4
            run = at + 1
        at += 1
    memcpy(to, text + run, size - run)
    return to + (size - run)


cdef inline bint _is_number(const char* text, Py_ssize_t size) noexcept nogil:
    """Say whether a text is how JSON writes a whole number of at most 18 digits, so that it may stand as it is."""
    cdef Py_ssize_t at = 0
    if size > 0 and text[0] == c"-":
        at = 1
        if size > 1 and text[1] == c"0":
            return False
    if size == at or size > 18:
        return False
    if text[at] == c"0" and size > at + 1:
        return False
    while at < size:
        if not c"0" <= text[at] <= c"9":
            return False
        at += 1
    return True


cdef inline bint _is_instant(const char* text, Py_ssize_t size) noexcept nogil:
    """Say whether a text is of the form 2026-11-21 03:05:00.5+00; the digits are not looked at."""
    return (
        size >= 14
        and text[4] == c"-"
        and text[10] == c" "
        and text[size - 3] == c"+"
        and text[size - 2] == c"0"
        and text[size - 1] == c"0"
    )


cdef class RowWriter:
    """Write the rows of one relation."""

    cdef Py_ssize_t _columns
    cdef list _names
    cdef list _kinds
    cdef list _converters
    cdef list _key
    cdef dict _tails
    cdef char* _buffer
    cdef Py_ssize_t _room
    cdef bint _busy

    def __cinit__(self):
        self._buffer = NULL
        self._room = 0

    def __dealloc__(self):
        PyMem_Free(self._buffer)

    def __init__(self, list names, list kinds, list converters, list key, dict tails):
        """Prepare.

        Args:
            names: Of each column what stands before its value: the name in quotes and a colon.
            kinds: Of each column how it is written.
            converters: Of each column what makes a value of its text, or None.
            key: The indices of the key's columns.
            tails: By operation what follows the columns, up to the clock.
        """
        self._columns = len(names)
        self._names, self._kinds, self._converters, self._key, self._tails = names, kinds, converters, key, tails

    def write(self, tuple row, str operation, long long now_ms):
        """Return key and value of a row, None where the plain way must write it."""
        cdef bytes key, tail
        cdef char* to
        cdef Py_ssize_t index
        if self._busy or len(row) != self._columns:
            # A converter is Python code, in which another thread may come here: there is one buffer.
            return None
        self._busy = True
        try:
            to = self._reserve(self._buffer, 1)
            to[0] = c"{"
            to += 1
            for number, index in enumerate(self._key):
                if number:
                    to[0] = c","
                    to += 1
                to = self._column(to, row, index)
                if to is NULL:
                    return None
            to = self._reserve(to, 1)
            to[0] = c"}"
            key = PyBytes_FromStringAndSize(self._buffer, to + 1 - self._buffer)
            to = self._buffer + 1
            for index in range(self._columns):
                to = self._column(to, row, index)
                if to is NULL:
                    return None
                to[0] = c","
                to += 1
            tail = self._tails[operation]
            to = self._reserve(to, PyBytes_GET_SIZE(tail) + FRAME)
            memcpy(to, PyBytes_AS_STRING(tail), PyBytes_GET_SIZE(tail))
            to += PyBytes_GET_SIZE(tail)
            to += snprintf(to, FRAME, "%lld}", now_ms)
            return key, PyBytes_FromStringAndSize(self._buffer, to - self._buffer)
        except (ValueError, TypeError, OverflowError):
            # Of a converter or orjson; also a text with half a surrogate pair.
            return None
        finally:
            self._busy = False
            if self._room > KEPT:
                PyMem_Free(self._buffer)
                self._buffer, self._room = NULL, 0

    cdef char* _column(self, char* to, tuple row, Py_ssize_t index) except? NULL:
        """Write name and value of a column, with a byte to spare behind; NULL where it is not ordinary."""
        cdef object value = row[index]
        cdef int kind = self._kinds[index]
        cdef bytes name = self._names[index], written
        cdef const char* text
        cdef Py_ssize_t size
        to = self._reserve(to, PyBytes_GET_SIZE(name) + 8)
        memcpy(to, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        to += PyBytes_GET_SIZE(name)
        if value is None:
            memcpy(to, "null", 4)
            return to + 4
        if type(value) is not str:
            return NULL
        if kind == CONVERTED:
            written = orjson.dumps(self._converters[index](value))
            size = PyBytes_GET_SIZE(written)
            to = self._reserve(to, size + 1)
            memcpy(to, PyBytes_AS_STRING(written), size)
            return to + size
        text = PyUnicode_AsUTF8AndSize(value, &size)
        if kind == NUMBER:
            if not _is_number(text, size):
                return NULL
            to = self._reserve(to, size + 1)
            memcpy(to, text, size)
            return to + size
        if kind == BOOLEAN:
            if size == 1 and text[0] == c"t":
                memcpy(to, "true", 4)
                return to + 4
            memcpy(to, "false", 5)
            return to + 5
        if size > KEPT:
            return NULL
        to = self._reserve(to, WIDEST * size + 3)
        to[0] = c"\""
        to += 1
        if kind == INSTANT:
            # "2026-11-21 03:05:00.5+00", and no other form of an instant.
            if not _is_instant(text, size) or size != len(<str>value):
                return NULL
            to = _escaped(to, text, 10)
            to[0] = c"T"
            to = _escaped(to + 1, text + 11, size - 14)
            to[0] = c"Z"
            to += 1
        else:
            to = _escaped(to, text, size)
        to[0] = c"\""
        return to + 1

    cdef char* _reserve(self, char* to, Py_ssize_t more) except NULL:
        """Make room behind `to`; return where that is now."""
        cdef Py_ssize_t used = to - self._buffer if self._buffer is not NULL else 0
        cdef Py_ssize_t room
        cdef char* buffer
        if used + more + 1 > self._room:
            room = 2 * (used + more + 1) + 512
            buffer = <char*>PyMem_Realloc(self._buffer, room)
            if buffer is NULL:
                raise MemoryError
            self._buffer, self._room = buffer, room
        return self._buffer + used
