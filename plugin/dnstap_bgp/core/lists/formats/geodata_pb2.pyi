# mypy: disable-error-code="type-arg"
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GeoCode(_message.Message):
    __slots__ = ("country_code",)
    COUNTRY_CODE_FIELD_NUMBER: _ClassVar[int]
    country_code: bytes
    def __init__(self, country_code: _Optional[bytes] = ...) -> None: ...

class GeoSite(_message.Message):
    __slots__ = ("country_code", "domain")
    COUNTRY_CODE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    country_code: bytes
    domain: _containers.RepeatedCompositeFieldContainer[GeoDomain]
    def __init__(self, country_code: _Optional[bytes] = ..., domain: _Optional[_Iterable[_Union[GeoDomain, _Mapping]]] = ...) -> None: ...

class GeoDomain(_message.Message):
    __slots__ = ("type", "value", "attribute")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    type: int
    value: bytes
    attribute: _containers.RepeatedCompositeFieldContainer[GeoAttribute]
    def __init__(self, type: _Optional[int] = ..., value: _Optional[bytes] = ..., attribute: _Optional[_Iterable[_Union[GeoAttribute, _Mapping]]] = ...) -> None: ...

class GeoAttribute(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    def __init__(self, key: _Optional[bytes] = ...) -> None: ...

class GeoIp(_message.Message):
    __slots__ = ("country_code", "cidr", "inverse_match")
    COUNTRY_CODE_FIELD_NUMBER: _ClassVar[int]
    CIDR_FIELD_NUMBER: _ClassVar[int]
    INVERSE_MATCH_FIELD_NUMBER: _ClassVar[int]
    country_code: bytes
    cidr: _containers.RepeatedCompositeFieldContainer[GeoCidr]
    inverse_match: bool
    def __init__(self, country_code: _Optional[bytes] = ..., cidr: _Optional[_Iterable[_Union[GeoCidr, _Mapping]]] = ..., inverse_match: bool = ...) -> None: ...

class GeoCidr(_message.Message):
    __slots__ = ("ip", "prefix")
    IP_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    ip: bytes
    prefix: int
    def __init__(self, ip: _Optional[bytes] = ..., prefix: _Optional[int] = ...) -> None: ...
