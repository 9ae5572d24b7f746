"""Frame Streams under blind mutation: the fuzz target of the same name by random inputs, without coverage."""

import random
import struct

import pytest

from dnstap_bgp.core.tap.framestream import ControlType
from tests.fuzz.choices import Choices
from tests.fuzz.framestream import ACCEPT, FINISH, FRAME_MAX_BYTES, READY, SEEDS, START, STOP, check, data

NUMBERS = [0, 1, 4, 8, 512, 513, FRAME_MAX_BYTES, FRAME_MAX_BYTES + 1, 0x7FFFFFFF, 0xFFFFFFFF, *ControlType]
SIZES = (0, 1, 2, 4, 19, 199, 255, 255)


def mutate(pick):
    wire = bytearray(pick.choice(SEEDS))
    for _ in range(pick.randint(0, 4)):
        at = pick.randrange(len(wire) + 1)
        match pick.randrange(6):
            case 0:
                wire[at : at + 1] = pick.randbytes(1)
            case 1:
                wire[at : at + 4] = struct.pack("!I", pick.choice(NUMBERS))
            case 2:
                del wire[at : at + pick.randint(1, 40)]
            case 3:
                wire[at:at] = pick.choice([READY, START, STOP, ACCEPT, FINISH, data(b"z"), pick.randbytes(9)])
            case 4:
                wire[at:at] = wire[: pick.randint(0, 200)]
            case 5:
                del wire[at:]
    return bytes(wire)


def rounds(seed, count):
    pick = random.Random(seed)
    for number in range(count):
        wire = mutate(pick)
        try:
            check(wire, Choices(bytes(pick.choices(SIZES, k=8))))
        except AssertionError as error:
            error.add_note(f"seed {seed}, mutation {number}: {wire[:200].hex()}")
            raise


@pytest.mark.parametrize("seed", range(4))
def test_a_short_round(seed):
    rounds(seed, 2_000)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_long_round(seed):
    rounds(seed, 200_000)
