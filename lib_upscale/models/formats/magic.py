"""Recognizes files that hold no weights by their first bytes and their name, before anything in them is parsed.

Needs no torch. The extension is only a hint: it decides nothing but what a download left behind.
"""

from __future__ import annotations

from pathlib import Path

from lib_upscale.errors import DamagedFileError, ModelFileError
from lib_upscale.models.formats.checkpoint import DOWNLOAD_AGAIN, UnsupportedContainerError
from lib_upscale.models.identity import Kind

__all__ = ["HEAD", "refusal", "unfinished"]

HEAD = 1024
"""How many bytes of a file's start the functions here want to see."""

_PARTIAL = (".crdownload", ".part", ".partial", ".download", ".aria2", ".opdownload", ".!ut", ".incomplete")
_DOCUMENTS = {
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
}
_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x1f\x8b\x08": "a gzip archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"BZh": "a bzip2 archive",
}
_TEXT_STARTS = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--", b"<body", b"<script", b"<title", b"<error")
_UNPACK = "unpack it and use the model that is inside"
_OTHER_FORMAT = "get the same model as .safetensors or .pth"


def unfinished(path: Path) -> str | None:
    """Say what is wrong with a file that a download has not finished, or None."""
    if path.suffix.lower() in _PARTIAL:
        return "is an unfinished download"
    if path.with_name(path.name + ".aria2").exists():
        return "is an unfinished download (aria2's control file is still there)"
    return None


def refusal(path: Path, head: bytes, size: int) -> ModelFileError | None:
    """Make the error for a file that is no checkpoint, or one of another program.

    Args:
        path: For the error's message.
        head: The file's first `HEAD` bytes.
        size: Of the file, in bytes.

    Returns:
        The error to raise, or None for a file that may be a checkpoint.
    """
    wrong = _damage(head, size)
    if wrong is not None:
        return DamagedFileError(path, *wrong)
    other = _other_format(head)
    if other is not None:
        return UnsupportedContainerError(path, *other)
    return None


def _damage(head: bytes, size: int) -> tuple[str, str] | None:
    """Problem and advice for a file that is no checkpoint at all."""
    if size == 0:
        return "is empty", DOWNLOAD_AGAIN
    if head.startswith(b"version https://git-lfs.github.com/"):
        return "is a Git LFS pointer, not the file that it points to", "run 'git lfs pull' or " + DOWNLOAD_AGAIN
    if not head.strip(b"\x00"):
        return "begins with nothing but zeros, like an unfinished download", DOWNLOAD_AGAIN
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(_TEXT_STARTS):
        return "is a web page saved under a model's name", "download the file itself, from its download button"
    for magic, what in _DOCUMENTS.items():
        if head.startswith(magic):
            return f"is {what}, not a model", DOWNLOAD_AGAIN
    for magic, what in _ARCHIVES.items():
        if head.startswith(magic):
            return f"is {what}, not a model", _UNPACK
    if text[:1] in (b"{", b"[") and size <= 1 << 20:
        return "is a server's message (JSON) saved under a model's name", DOWNLOAD_AGAIN
    if size <= HEAD and _is_text(head):
        return "is a short text, not a model", DOWNLOAD_AGAIN
    if head[257:262] == b"ustar":
        if head.startswith((b"sys_info", b"pickle", b"storages", b"tensors", b"./sys_info")):
            advice = "save it again with torch between 0.4 and 2.5, or get a newer version of it"
            return "is a file of torch 0.1, which is no longer supported", advice
        return "is a tar archive, not a model", _UNPACK
    return None


def _is_text(head: bytes) -> bool:
    """Whether the bytes are readable text that is no old pickle: those are text too."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if head.rstrip().endswith(b"."):
        return False
    return all(character.isprintable() or character in "\r\n\t" for character in text)


def _other_format(head: bytes) -> tuple[str, str, Kind, str] | None:
    """Problem, advice, kind and name of a format of another program."""
    if head[:4] in (b"GGUF", b"ggml", b"lmgg", b"ggjt", b"tjgg"):
        folders = "models/Stable-diffusion or models/text_encoder"
        return (
            "is a GGUF file, not an upscaler",
            f"move it to {folders} of a WebUI that reads GGUF (Forge)",
            Kind.GGUF,
            "GGUF",
        )
    if _is_onnx(head):
        return "is an ONNX graph, which this program does not run", _OTHER_FORMAT, Kind.ONNX, "ONNX"
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        return "is an HDF5 file (Keras), not a model of torch", _OTHER_FORMAT, Kind.UNKNOWN, "Keras"
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite model", _OTHER_FORMAT, Kind.UNKNOWN, "TensorFlow Lite"
    return None


def _is_onnx(head: bytes) -> bool:
    """Whether the bytes begin as a protobuf `ModelProto` does: its version, then texts, then the graph.

    Source: onnx.proto: ir_version = 1, producer_name = 2, producer_version = 3, domain = 4,
    model_version = 5, doc_string = 6, graph = 7, opset_import = 8, metadata_props = 14, functions = 25.
    """
    if len(head) < 16 or head[0] != 0x08 or not 1 <= head[1] <= 20:
        return False
    position, fields = 2, 0
    while position < len(head) and fields < 8:
        tag, position = _varint(head, position)
        number, wire = tag >> 3, tag & 7
        if number not in (2, 3, 4, 5, 6, 7, 8, 14, 20, 25):
            return False
        value, position = _varint(head, position)
        if wire == 2:
            if number in (7, 8):
                return value > 0
            position += value
        elif wire != 0:
            return False
        fields += 1
    return fields > 0


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        if position >= len(data):
            return value, position
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, position
