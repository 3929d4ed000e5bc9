"""The AV1 stream of a file that someone else's encoder made, its packets as they are."""

from __future__ import annotations

import os

import av

from nvcodec.encoding.av1.correction_job import runs_of
from nvcodec.encoding.av1.svt_encoder import TemporalUnit, matrix_of
from nvcodec.errors import CorruptStreamError, InputError
from nvcodec.format.av1_headers import (
    TEMPORAL_DELIMITER,
    ObuType,
    SequenceHeader,
    obus,
    parse_frame_header,
    parse_sequence_header,
)
from nvcodec.format.operations import Picture
from nvcodec.format.runs import MAX_RUN

CODECS = ("av1", "libdav1d", "libaom-av1", "libgav1")  # FFmpeg's names of what decodes AV1
CONFIG_HEADER_BYTES = 4  # of `av1C` and Matroska's CodecPrivate, before the OBUs
CENTRED, LEFT, TOP_LEFT = 0, 1, 2  # siting of PICTURE
#: By chroma_sample_position. Where a stream does not say it, chroma is where most encoders have it.
SITINGS = {0: LEFT, 1: LEFT, 2: TOP_LEFT, 3: LEFT}


def read_av1(path: str, declared_matrix: int) -> tuple[list[TemporalUnit], Picture]:
    """Read the first video track of an AV1 file.

    Args:
        path: .mp4, .mkv, .webm, .ivf or .obu.
        declared_matrix: code point of the matrix that the source declares, for a stream that declares none.

    Returns:
        Its temporal units, and the PICTURE operation that shows them, without a margin.

    Raises:
        InputError: the file cannot be read, has no AV1 stream, or one that an SDMN file cannot hold.
    """
    try:
        with av.open(os.path.abspath(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no video track")
            stream = container.streams.video[0]
            if stream.codec_context.name not in CODECS:
                raise InputError(f"{path} has no AV1 stream, but one of {stream.codec_context.name}")
            extradata = bytes(stream.codec_context.extradata or b"")
            packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read an AV1 stream from {path}: {reason}") from None
    try:
        units, picture = _units_of(packets, extradata, path, declared_matrix)
        if len({run.sequence_header for run in runs_of(units, picture)}) > 1:
            raise CorruptStreamError(f"the sequence headers of {path} differ")
        return units, picture
    except CorruptStreamError as error:
        raise InputError(f"the AV1 stream cannot be the base of an SDMN file: {error}") from None


def _units_of(
    packets: list[bytes], extradata: bytes, path: str, declared_matrix: int
) -> tuple[list[TemporalUnit], Picture]:
    """Return temporal units and the PICTURE operation; raises CorruptStreamError."""
    units: list[TemporalUnit] = []
    header, sequence = b"", None
    run = 0
    for index, packet in enumerate(packets):
        data, where = packet.removeprefix(TEMPORAL_DELIMITER), f"packet {index} of {path}"
        key = has_header = False
        for obu in obus(data, where):
            if obu.kind == ObuType.SEQUENCE_HEADER:
                header, has_header = data[obu.start : obu.end], True
                sequence = parse_sequence_header(obu.payload, where)
            elif obu.kind in (ObuType.FRAME, ObuType.FRAME_HEADER):
                if sequence is None:
                    header, sequence = _stored_header(extradata, path)
                frame = parse_frame_header(obu.payload, sequence, where)
                key = frame.key and frame.shows
                break
        # A run decodes alone, also where the container has the header once for all.
        units.append(TemporalUnit(header + data if key and not has_header else data, key))
        run = 1 if key else run + 1
        if run > MAX_RUN:
            raise CorruptStreamError(f"{path} has more than {MAX_RUN} frames without a key frame")
    if sequence is None:
        raise CorruptStreamError(f"{path} has no frame")
    if not units[0].key:
        raise CorruptStreamError(f"{path} does not begin with a key frame")
    return units, _picture(sequence, declared_matrix)


def _stored_header(extradata: bytes, path: str) -> tuple[bytes, SequenceHeader]:
    """Return the sequence header that the container has; raises CorruptStreamError."""
    data = extradata[CONFIG_HEADER_BYTES:] if extradata[:1] == b"\x81" else extradata
    for obu in obus(data, f"the codec data of {path}"):
        if obu.kind == ObuType.SEQUENCE_HEADER:
            return data[obu.start : obu.end], parse_sequence_header(obu.payload, path)
    raise CorruptStreamError(f"{path} has no AV1 sequence header")


def _picture(sequence: SequenceHeader, declared_matrix: int) -> Picture:
    """Return the operation that shows a stream's pictures."""
    return Picture(
        sequence.height,
        sequence.width,
        sequence.depth,
        int(not sequence.monochrome),
        SITINGS[sequence.chroma_position],
        matrix_of(declared_matrix if sequence.matrix == 2 else sequence.matrix),
        int(sequence.full_range),
        0,
    )
