"""`sendfile` and `splice`: bytes from one descriptor to another without a stop in the program.

Owns both calls where one side is simulated; a side that is an `int` is a real descriptor. Nothing is taken from the
source that the other side has not taken in. Behaviour: fs/read_write.c (`do_sendfile`), fs/splice.c (`do_splice`),
sendfile(2), splice(2).
"""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.descriptors.table import Target, access_mode, real, wait
from wavetank.kernel.endpoint import Endpoint
from wavetank.kernel.file import READABLE, WRITABLE, File, error
from wavetank.kernel.pipe import PipeReader, PipeWriter, broken_pipe

_PIECE: Final = 65_536  # PIPE_DEF_BUFFERS pages: what one turn of splice_direct_to_actor moves
_NONBLOCK: Final = 2  # SPLICE_F_NONBLOCK


def sendfile(out: Target, source: Target, offset: int | None, count: int) -> int:
    """From a real file, which must be seekable, to a simulated descriptor. Without `offset` the file's own moves on."""
    _check_access(source, out)
    if isinstance(source, File):
        if offset is not None:
            raise error(errno.ESPIPE)
        if isinstance(out, PipeWriter) and isinstance(source, Endpoint):
            return splice(source, out, count, None, None, 0)  # `splice_file_to_pipe`: a pipe takes from a socket
        raise error(errno.EINVAL)
    assert isinstance(out, File), "sendfile between two real descriptors is not simulated"
    if count < 0 or (offset is not None and offset < 0):
        raise error(errno.EINVAL)
    core.K.tick()
    start = real.lseek(source, 0, os.SEEK_CUR) if offset is None else offset
    sent = 0
    try:
        while sent < count:
            data = real.pread(source, min(count - sent, _PIECE), start + sent)
            if not data:
                break
            taken = _send_piece(out, data, sent)
            sent += taken
            if taken < len(data):
                break
    except OSError:
        if not sent:
            raise
    finally:
        if offset is None and sent:
            real.lseek(source, start + sent, os.SEEK_SET)
    if core.K.soft:
        core.K.run_soft()
    return sent


def _check_access(source: Target, out: Target) -> None:
    """EBADF for a source that cannot be read or a target that cannot be written."""
    if isinstance(source, File) and access_mode(source) == os.O_WRONLY:
        raise error(errno.EBADF)
    if isinstance(out, File) and access_mode(out) == os.O_RDONLY:
        raise error(errno.EBADF)


def _send_piece(out: File, data: bytes, sent: int) -> int:
    """Write a piece: a blocking file takes all of it, another one what fits. EAGAIN only if nothing was sent before."""
    done = 0
    while done < len(data):
        try:
            done += out.write(data[done:])
        except BlockingIOError:
            if out.nonblocking and (sent or done):
                break
            wait(out, WRITABLE, "sendfile()")
        except OSError:
            if not done:
                raise
            break
    return done


def splice(source: Target, out: Target, count: int, offset_source: Any, offset_out: Any, flags: int) -> int:
    """One side is a pipe. A side with an offset is a real file."""
    if not count:
        return 0
    _check_access(source, out)
    if not isinstance(source, PipeReader) and not isinstance(out, PipeWriter):
        raise error(errno.EINVAL)
    for side, offset in ((source, offset_source), (out, offset_out)):
        if offset is not None and isinstance(side, File):
            raise error(errno.ESPIPE if isinstance(side, (PipeReader, PipeWriter)) else errno.EINVAL)
    if isinstance(source, PipeReader) and isinstance(out, PipeWriter) and source.pipe is out.pipe:
        raise error(errno.EINVAL)
    core.K.tick()
    if isinstance(source, PipeReader):
        moved = _from_pipe(source, out, count, offset_out, flags)
    else:
        assert isinstance(out, PipeWriter)
        moved = _to_pipe(source, out, count, offset_source, flags)
    if core.K.soft:
        core.K.run_soft()
    return moved


def _wait(file: File, mask: int, flags: int) -> None:
    if flags & _NONBLOCK:
        raise error(errno.EAGAIN)
    wait(file, mask, "splice()")


def _from_pipe(source: PipeReader, out: Target, count: int, offset: int | None, flags: int) -> int:
    pipe = source.pipe
    while True:
        if not pipe.size:
            if pipe.writer.closed:
                return 0
            _wait(source, READABLE, flags)
            continue
        data = pipe.peek(count)
        if isinstance(out, int):
            written = int(real.write(out, data) if offset is None else real.pwrite(out, data, offset))
        else:
            try:
                written = out.write(data)
            except BlockingIOError:
                _wait(out, WRITABLE, flags)
                continue
        source.read(written)
        return written


def _to_pipe(source: Target, out: PipeWriter, count: int, offset: int | None, flags: int) -> int:
    pipe = out.pipe
    while True:
        if pipe.reader.closed:
            raise broken_pipe()
        size = min(count, pipe.room())
        if not size:
            _wait(out, WRITABLE, flags)
            continue
        if isinstance(source, int):
            data = real.read(source, size) if offset is None else real.pread(source, size, offset)
        else:
            try:
                data = source.read(size)
            except BlockingIOError:
                _wait(source, READABLE, flags)
                continue
        return out.write(data)
