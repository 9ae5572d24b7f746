from dnstap_bgp.core.sync.replication_log import FRAME_OVERHEAD, ReplicationLog


def test_a_log_forgets_the_oldest_first():
    log = ReplicationLog(5 * (10 + FRAME_OVERHEAD))
    for number in range(1, 9):
        log.append("", 1, lambda seq: seq.to_bytes(10, "big"))
        assert log.seq == number
    assert [seq for seq in range(-2, 12) if log.reaches(seq)] == [3, 4, 5, 6, 7, 8]
    assert [int.from_bytes(record.payload, "big") for record in log.after(5, 1000)] == [6, 7, 8]
    assert [int.from_bytes(record.payload, "big") for record in log.after(3, 15)] == [4, 5]
    assert log.after(8, 1000) == []
    log.clear()
    assert log.seq == 9
    assert [seq for seq in range(12) if log.reaches(seq)] == [9]
    for _ in range(5):
        log.append("", 1, lambda seq: seq.to_bytes(10, "big"))
    assert [seq for seq in range(16) if log.reaches(seq)] == [9, 10, 11, 12, 13, 14], "as much as before"


def test_a_log_has_eight_mebibytes():
    log = ReplicationLog()
    payload = bytes((1 << 20) - FRAME_OVERHEAD)
    for _ in range(10):
        log.append("", 1, lambda _: payload)
    assert len(log.after(2, 100 << 20)) == 8
    assert not log.reaches(1)


def test_a_frame_that_fills_what_is_asked_for_is_the_last():
    log = ReplicationLog()
    for _ in range(5):
        log.append("", 1, lambda seq: seq.to_bytes(10, "big"))
    for bytes_max, count in ((1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (1000, 4)):
        assert len(log.after(1, bytes_max)) == count


def test_one_frame_stays_whatever_its_size():
    log = ReplicationLog(10)
    for number in (1, 2):
        log.append("node", 7, lambda seq: bytes([seq]) * 1000)
        assert log.after(number - 1, 1) == [("node", bytes([number]) * 1000, 7)]
        assert [seq for seq in range(4) if log.reaches(seq)] == [number - 1, number]
