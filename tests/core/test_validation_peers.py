import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.validation import packed_peer_address, peer_entry, read_peer_address
from dnstap_bgp.errors import PeerError

ANYTHING = st.recursive(st.none() | st.integers() | st.binary(max_size=20) | st.text(max_size=20), st.lists)


def test_addresses_have_one_form():
    assert read_peer_address("::ffff:11.0.0.1") == bytes([11, 0, 0, 1])
    assert packed_peer_address(bytes(10) + b"\xff\xff" + bytes([11, 0, 0, 1])) == bytes([11, 0, 0, 1])
    for address in ("", "11.0.0", "fe80::1%eth0", "1" * 65):
        with pytest.raises(PeerError):
            read_peer_address(address)


def test_a_text_that_is_no_address_is_refused_by_its_length_alone():
    zone = "e" * (64 - len("fe80::1%"))
    with pytest.raises(PeerError, match=r"^an address with a zone$"):
        read_peer_address(f"fe80::1%{zone}")
    with pytest.raises(PeerError, match=r"^no address$"):
        read_peer_address(f"fe80::1%{zone}e")


def test_an_entry_has_a_packed_address_and_a_clean_name():
    assert peer_entry("11.0.0.1", "A.B.") == (bytes([11, 0, 0, 1]), b"a.b")
    assert peer_entry(bytes([11, 0, 0, 1]), b"A.B") == (bytes([11, 0, 0, 1]), b"a.b")


@given(ANYTHING, ANYTHING)
def test_what_is_no_entry_is_refused_without_a_word_of_it(address: object, name: object):
    said = ""
    try:
        packed, clean = peer_entry(address, name)
    except PeerError as error:
        said = str(error)
    else:
        assert len(packed) in {4, 16}
        assert clean
    assert said in {"", "no address", "no domain name", "an address with a zone", "a name with characters beyond ASCII"}
