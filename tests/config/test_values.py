import pytest

from dnstap_bgp.config import values


@pytest.mark.parametrize(("value", "seconds"), [("24h", 86400.0), (0, 0.0), ("0", 0.0), (0.0, 0.0)])
def test_duration(value, seconds):
    assert values.duration(value) == seconds


@pytest.mark.parametrize("value", [5, 1.5, True, None, "", "1d\n", "99999999h", ["1s"]])
def test_duration_refuses(value):
    with pytest.raises(ValueError, match=r"unit|text|duration|ten years"):
        values.duration(value)


def test_a_number_without_unit_is_told_what_to_write():
    with pytest.raises(ValueError, match='"300s"'):
        values.duration(300)


@pytest.mark.parametrize(
    ("value", "count"),
    [("8MB", 8_000_000), ("512 kB", 512_000), ("1GiB", 1 << 30), ("7B", 7), (4096, 4096), ("2MiB", 2 << 20)],
)
def test_size(value, count):
    assert values.size(value) == count


@pytest.mark.parametrize("value", ["8", "8mb", "-1MB", "1.5MB", True, None, "", "8MB\n", 1.5])
def test_size_refuses(value):
    with pytest.raises(ValueError, match=r"size|text"):
        values.size(value)


@pytest.mark.parametrize(("value", "mode"), [("0666", 0o666), ("660", 0o660), ("0o660", 0o660), (0o660, 0o660), (0, 0)])
def test_file_mode(value, mode):
    assert values.file_mode(value) == mode


@pytest.mark.parametrize("value", ["0888", "rw-rw----", "", 660, 666, -1, True, None, "02777", 0o1777, 6.6])
def test_file_mode_refuses(value):
    with pytest.raises(ValueError, match="no file mode"):
        values.file_mode(value)


@pytest.mark.parametrize("value", ["", "a\nb", "a\x00", "a\x7f", 5, None, ["a"]])
def test_text_refuses(value):
    with pytest.raises(ValueError, match="must be text"):
        values.text(value)


@pytest.mark.parametrize(
    ("value", "name"), [("unbound", "unbound"), ("_dnsdist", "_dnsdist"), (953, "953"), ("m$", "m$")]
)
def test_account(value, name):
    assert values.account(value) == name


@pytest.mark.parametrize("value", ["", "a b", "-x", "a:b", True, "x" * 40, "ü"])
def test_account_refuses(value):
    with pytest.raises(ValueError, match=r"no name|must be text"):
        values.account(value)


@pytest.mark.parametrize("value", [".", "..", "a/b", "/run/netns/x", "", "a b", "x\n"])
def test_netns_is_a_name_and_no_path(value):
    with pytest.raises(ValueError, match=r"namespace|must be text"):
        values.netns(value)


def test_message_type_in_any_case():
    assert values.message_type("CLIENT_RESPONSE") == values.message_type("client_response") == 6
    assert values.message_type("resolver_response") == 4
    assert values.message_type("forwarder_response") == 8


def test_a_query_is_no_message_with_an_answer():
    with pytest.raises(ValueError, match="client_response"):
        values.message_type("client_query")


def test_lists():
    assert values.one_or_many("a") == ["a"]
    assert values.one_or_many(["a"]) == ["a"]
    assert values.each_once((3, 1, 3)) == (3, 1)
    values.distinct([1, 2])
    with pytest.raises(ValueError, match="1 stands here twice"):
        values.distinct([1, 2, 1])
    with pytest.raises(ValueError, match="empty"):
        values.nonempty(())
