# mypy: disable-error-code="type-arg"
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Frame(_message.Message):
    __slots__ = ("identity", "message", "type")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    identity: bytes
    message: FrameMessage
    type: int
    def __init__(self, identity: _Optional[bytes] = ..., message: _Optional[_Union[FrameMessage, _Mapping]] = ..., type: _Optional[int] = ...) -> None: ...

class FrameMessage(_message.Message):
    __slots__ = ("type", "response_address", "response_message", "policy")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    type: int
    response_address: bytes
    response_message: bytes
    policy: FramePolicy
    def __init__(self, type: _Optional[int] = ..., response_address: _Optional[bytes] = ..., response_message: _Optional[bytes] = ..., policy: _Optional[_Union[FramePolicy, _Mapping]] = ...) -> None: ...

class FramePolicy(_message.Message):
    __slots__ = ("action",)
    ACTION_FIELD_NUMBER: _ClassVar[int]
    action: int
    def __init__(self, action: _Optional[int] = ...) -> None: ...

class FrameSender(_message.Message):
    __slots__ = ("identity", "version")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    identity: bytes
    version: bytes
    def __init__(self, identity: _Optional[bytes] = ..., version: _Optional[bytes] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: ChunkFrames
    def __init__(self, frames: _Optional[_Union[ChunkFrames, _Mapping]] = ...) -> None: ...

class ChunkFrames(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: ChunkMessages
    def __init__(self, message: _Optional[_Union[ChunkMessages, _Mapping]] = ...) -> None: ...

class ChunkMessages(_message.Message):
    __slots__ = ("type", "response_message")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    type: _containers.RepeatedScalarFieldContainer[int]
    response_message: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, type: _Optional[_Iterable[int]] = ..., response_message: _Optional[_Iterable[bytes]] = ...) -> None: ...
