# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Owns the compiled decoding of what makes up nearly all of a stream: Begin, Commit, Insert, Update, Delete, keepalives.

It knows well-formed bytes alone. Whatever else it meets, another message or a fault, it answers with None, and the
plain decoder says what that is: so there is one place for errors, and equal bytes give equal messages either way.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from cdc.pgoutput.messages import POSTGRES_EPOCH_US, UNCHANGED, Begin, Commit, Delete, Insert, Keepalive, Update


cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object, object, object) except -1
    ctypedef struct PyTypeObject:
        pass
    object PyType_GenericAlloc(PyTypeObject*, Py_ssize_t)


cdef enum:
    # A type byte, then start LSN, end LSN and clock.
    HEADER = 25
    KEEPALIVE = 18

cdef object _unchanged = UNCHANGED
cdef int64_t _epoch_us = POSTGRES_EPOCH_US


cdef inline uint16_t _u16(const uint8_t* at) noexcept nogil:
    return <uint16_t>(at[0] << 8 | at[1])


cdef inline uint32_t _u32(const uint8_t* at) noexcept nogil:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


cdef inline uint64_t _u64(const uint8_t* at) noexcept nogil:
    return <uint64_t>_u32(at) << 32 | _u32(at + 4)


cdef inline object _new(object kind):
    # As `kind.__new__(kind)`: the fields of a frozen dataclass with slots are filled in below, without its __init__.
    return PyType_GenericAlloc(<PyTypeObject*>kind, 0)


cdef tuple _row(const uint8_t* data, Py_ssize_t size, Py_ssize_t* place):
    """Return the row at `place` and move that behind it; None where the row is not well-formed."""
    cdef Py_ssize_t at = place[0]
    cdef Py_ssize_t index, count, length
    cdef uint8_t kind
    cdef object value
    cdef tuple row
    if at + 2 > size:
        return None
    count = _u16(data + at)
    at += 2
    if count > size - at:
        # Each column has at least its kind: no tuple is made for a count that cannot be.
        return None
    row = PyTuple_New(count)
    for index in range(count):
        value = None
        if at >= size:
            return _given_up(row, index, count)
        kind = data[at]
        at += 1
        if kind == c"t" or kind == c"b":
            if at + 4 > size:
                return _given_up(row, index, count)
            length = <int32_t>_u32(data + at)
            at += 4
            if length < 0 or length > size - at:
                return _given_up(row, index, count)
            if kind == c"t":
                value = PyUnicode_DecodeUTF8(<const char*>data + at, length, "surrogateescape")
            else:
                value = PyBytes_FromStringAndSize(<const char*>data + at, length)
            at += length
        elif kind == c"u":
            value = _unchanged
        elif kind != c"n":
            return _given_up(row, index, count)
        Py_INCREF(value)
        PyTuple_SET_ITEM(row, index, value)
    place[0] = at
    return row


cdef tuple _given_up(tuple row, Py_ssize_t index, Py_ssize_t count):
    # A tuple with empty places must not be seen by anyone, the collector of garbage included.
    while index < count:
        Py_INCREF(None)
        PyTuple_SET_ITEM(row, index, None)
        index += 1
    return None


cdef object _message(const uint8_t* data, Py_ssize_t size, Py_ssize_t at):
    cdef uint8_t kind, mark
    cdef object message, old
    cdef tuple row
    cdef uint32_t oid
    if at >= size:
        return None
    kind = data[at]
    at += 1
    if kind == c"I":
        if size - at < 5 or data[at + 4] != c"N":
            return None
        oid = _u32(data + at)
        at += 5
        row = _row(data, size, &at)
        if row is None or at != size:
            return None
        message = _new(Insert)
        PyObject_GenericSetAttr(message, "relation_oid", oid)
        PyObject_GenericSetAttr(message, "new", row)
        return message
    if kind == c"B":
        if size - at != 20:
            return None
        message = _new(Begin)
        PyObject_GenericSetAttr(message, "final_lsn", _u64(data + at))
        PyObject_GenericSetAttr(message, "committed_us", <int64_t>_u64(data + at + 8) + _epoch_us)
        PyObject_GenericSetAttr(message, "xid", _u32(data + at + 16))
        return message
    if kind == c"C":
        if size - at != 25 or data[at]:
            return None
        message = _new(Commit)
        PyObject_GenericSetAttr(message, "commit_lsn", _u64(data + at + 1))
        PyObject_GenericSetAttr(message, "end_lsn", _u64(data + at + 9))
        PyObject_GenericSetAttr(message, "committed_us", <int64_t>_u64(data + at + 17) + _epoch_us)
        return message
    if kind == c"U":
        if size - at < 5:
            return None
        oid = _u32(data + at)
        at += 4
        mark, old = data[at], None
        if mark == c"K" or mark == c"O":
            at += 1
            old = _row(data, size, &at)
            if old is None or at >= size:
                return None
        if data[at] != c"N":
            return None
        at += 1
        row = _row(data, size, &at)
        if row is None or at != size:
            return None
        message = _new(Update)
        PyObject_GenericSetAttr(message, "relation_oid", oid)
        PyObject_GenericSetAttr(message, "old", old)
        PyObject_GenericSetAttr(message, "old_is_key", mark == c"K")
        PyObject_GenericSetAttr(message, "new", row)
        return message
    if kind == c"D":
        if size - at < 5:
            return None
        oid, mark = _u32(data + at), data[at + 4]
        if mark != c"K" and mark != c"O":
            return None
        at += 5
        row = _row(data, size, &at)
        if row is None or at != size:
            return None
        message = _new(Delete)
        PyObject_GenericSetAttr(message, "relation_oid", oid)
        PyObject_GenericSetAttr(message, "old", row)
        PyObject_GenericSetAttr(message, "old_is_key", mark == c"K")
        return message
    return None


def decode(object data, Py_ssize_t offset):
    """Return the message that `data` holds from `offset` to its end, None where the plain decoder must look."""
    cdef Py_buffer view
    if offset < 0:
        return None
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return _message(<const uint8_t*>view.buf, view.len, offset)
    finally:
        PyBuffer_Release(&view)


def read_frame(object data):
    """Return the event that one COPY data message outside of any block carries, None as `decode` does."""
    cdef Py_buffer view
    cdef const uint8_t* start
    cdef object event
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        start = <const uint8_t*>view.buf
        if view.len > HEADER and start[0] == c"w":
            return _message(start, view.len, HEADER)
        if view.len == KEEPALIVE and start[0] == c"k":
            event = _new(Keepalive)
            PyObject_GenericSetAttr(event, "wal_end", _u64(start + 1))
            PyObject_GenericSetAttr(event, "reply_requested", start[17] == 1)
            return event
        return None
    finally:
        PyBuffer_Release(&view)
