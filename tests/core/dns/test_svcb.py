"""Address hints of HTTPS and SVCB records: what is read, and each way in which a record is malformed (RFC 9460)."""

import struct

import pytest

from dnstap_bgp.core.dns.svcb import REMEMBERED_MAX_BYTES, address_hints
from dnstap_bgp.errors import DnsError

HTTPS = 65
IPV4, IPV6 = b"\1\2\3\4", bytes(range(16))


def data(*params, priority=1, target=b"\0"):
    return (
        struct.pack("!H", priority)
        + target
        + b"".join(struct.pack("!HH", key, len(value)) + value for key, value in params)
    )


def test_hints_ipv4_first():
    assert address_hints(HTTPS, data((4, IPV4 * 2), (6, IPV6))) == (IPV4, IPV4, IPV6)
    assert address_hints(HTTPS, data((1, b"\2h2\2h3"), (4, IPV4), (5, b"\0\4abcd"), (6, IPV6))) == (IPV4, IPV6)
    assert address_hints(HTTPS, data()) == ()
    assert address_hints(HTTPS, data((4, IPV4), target=b"\3svc\4test\0")) == (IPV4,)


def test_alias_mode_has_no_hints():
    assert address_hints(HTTPS, data(priority=0, target=b"\1b\4test\0")) == ()
    with pytest.raises(DnsError, match="AliasMode"):
        address_hints(HTTPS, data((4, IPV4), priority=0))


@pytest.mark.parametrize(
    "params",
    [
        pytest.param([(0, b"\0\4"), (4, IPV4)], id="mandatory and there"),
        pytest.param([(0, b"\0\1\0\4"), (1, b"\2h2"), (4, IPV4)], id="two mandatory ones"),
        pytest.param([(1, b"\2h2"), (2, b""), (4, IPV4)], id="no default alpn"),
        pytest.param([(3, b"\1\xbb"), (4, IPV4)], id="a port"),
        pytest.param([(4, IPV4), (5, b"\1\x2c" + bytes(300))], id="several ECH keys"),
        pytest.param([(4, IPV4), (7, b"/dns-query{?dns}"), (8, b""), (10, b"\1a"), (99, b"")], id="later keys"),
    ],
)
def test_what_may_stand_beside_hints(params):
    assert address_hints(HTTPS, data(*params)) == (IPV4,)


@pytest.mark.parametrize(
    "params",
    [
        pytest.param([(6, IPV6), (4, IPV4)], id="falling keys"),
        pytest.param([(4, IPV4), (4, IPV4)], id="a key twice"),
        pytest.param([(4, b"")], id="no addresses"),
        pytest.param([(4, IPV4[:3])], id="half an IPv4"),
        pytest.param([(6, IPV6 + b"!")], id="an IPv6 and a byte"),
        pytest.param([(0, b"\0\6"), (4, IPV4)], id="mandatory and missing"),
        pytest.param([(0, b"\0\4\0\4"), (4, IPV4)], id="mandatory twice"),
        pytest.param([(0, b"\0\0"), (4, IPV4)], id="mandatory itself"),
        pytest.param([(0, b""), (4, IPV4)], id="mandatory nothing"),
        pytest.param([(0, b"\0\4\0"), (4, IPV4)], id="mandatory and a half"),
        pytest.param([(1, b""), (4, IPV4)], id="alpn of nothing"),
        pytest.param([(1, b"\3h2"), (4, IPV4)], id="alpn cut"),
        pytest.param([(1, b"\0"), (4, IPV4)], id="alpn empty"),
        pytest.param([(1, b"\2h2"), (2, b"!"), (4, IPV4)], id="no default alpn with a value"),
        pytest.param([(2, b""), (4, IPV4)], id="no default alpn without alpn"),
        pytest.param([(3, b"\1"), (4, IPV4)], id="half a port"),
        pytest.param([(4, IPV4), (5, b"\0\5abcd")], id="ech of another length"),
        pytest.param([(4, IPV4), (5, b"\0\3abc")], id="ech too short"),
        pytest.param([(4, IPV4), (8, b"!")], id="ohttp with a value"),
        pytest.param([(4, IPV4), (10, b"\2a")], id="a docpath that is cut"),
    ],
)
def test_a_parameter_that_breaks_its_format_makes_the_record_malformed(params):
    with pytest.raises(DnsError, match="a record of type 65"):
        address_hints(HTTPS, data(*params))


@pytest.mark.parametrize(
    "target",
    [b"", b"\3svc", b"\3svc\4test", b"\xc0\x0c", b"\x40" + bytes(70), (b"\x3f" + b"x" * 63) * 4 + b"\0"],
    ids=["none", "cut", "without its end", "compressed", "a label too long", "too long"],
)
def test_a_target_that_is_no_whole_name(target):
    with pytest.raises(DnsError, match="target"):
        address_hints(HTTPS, struct.pack("!H", 1) + target)


def test_a_record_cut_anywhere():
    whole = data((1, b"\2h2"), (4, IPV4))
    borders = {3, 10, len(whole)}  # behind the target and behind each parameter
    for end in range(len(whole)):
        if end not in borders:
            with pytest.raises(DnsError):
                address_hints(HTTPS, whole[:end])


def test_the_longest_target_and_the_longest_label():
    """255 bytes with its end (RFC 1035, 2.3.4), and one more."""
    longest = (b"\x3f" + b"x" * 63) * 3 + b"\x3d" + b"x" * 61 + b"\0"
    assert address_hints(HTTPS, data((4, IPV4), target=longest)) == (IPV4,)
    with pytest.raises(DnsError, match="target"):
        address_hints(HTTPS, data((4, IPV4), target=b"\1x" + longest.replace(b"\x3d" + b"x" * 61, b"\x3c" + b"x" * 60)))


def test_hints_are_read_in_any_number_and_long_records_each_time():
    many = [bytes((11, 0, number >> 8, number & 255)) for number in range(300)]
    whole = data((4, b"".join(many)), (6, IPV6 * 2))
    assert len(whole) > REMEMBERED_MAX_BYTES
    assert address_hints(HTTPS, whole) == (*many, IPV6, IPV6)
