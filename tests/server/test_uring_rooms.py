# SPDX-License-Identifier: MIT
"""Rooms: the first frame of a connection names its room, each further one goes to all in there.

RINGPOOL_HOSTILE=full makes the rooms that come and go ten times as many.
"""

import os
import random
import select
import struct
import threading
import time
import unittest

import frame_client
from frame_client import Server, closed_by_server, frame, payload_of, receive_exactly

FULL = os.environ.get("RINGPOOL_HOSTILE") == "full"
SANITIZED = bool(os.environ.get("RINGPOOL_SANITIZERS"))


class RoomServer(Server):
    """A server of rooms; each case is run with one loop and with two."""

    def __init__(self, loops, *options):
        super().__init__("--backend", "uring", "--mode", "room", "--loops", str(loops), *options)

    def enter(self, test, name, **how):
        """A member of the room `name`: the name has come back."""
        peer = self.connect(**how)
        peer.sendall(frame(name))
        test.assertEqual(receive_exactly(peer, 4 + len(name)), frame(name))
        return peer


def with_one_loop_and_two(case):
    def both(self):
        for loops in (1, 2):
            with self.subTest(loops=loops):
                case(self, loops)
    return both


def receive_frame(peer):
    (length,) = struct.unpack(">i", receive_exactly(peer, 4))
    return receive_exactly(peer, length)


def is_silent(peers, seconds=0.1):
    return not select.select(peers, [], [], seconds)[0]


def ends_clean(test, server):
    """Nothing is left once the last member has gone, and at the end."""
    stats = server.wait_for_stats(lambda s: s["connections"]["open"] == 0 and
                                  s["rooms"]["count"] == 0 and s["buffers_in_use"] == 0)
    code, out, err = server.terminate()
    test.assertEqual((code, err), (0, ""))
    test.assertIn(" 0 buffers in use", out)
    return stats


def close_all(peers):
    for peer in peers:
        peer.close()


class Members(unittest.TestCase):
    @with_one_loop_and_two
    def test_every_member_gets_each_frame_and_nobody_outside(self, loops):
        with RoomServer(loops) as server:
            inside = [server.enter(self, b"a room") for _ in range(20)]
            outside = [server.enter(self, b"another %d" % (i % 3)) for i in range(9)]
            nowhere = server.connect()
            for number, sender in enumerate(inside):
                said = payload_of(1 + number * 397, number)
                sender.sendall(frame(said))
                for peer in inside:  # the sender among them
                    self.assertEqual(receive_frame(peer), said)
            self.assertTrue(is_silent([*inside, *outside, nowhere]))
            stats = server.stats()
            self.assertEqual((stats["rooms"]["count"], stats["rooms"]["drops"]), (4, 0))
            self.assertEqual(stats["rooms"]["deliveries"], 20 * 20)
            close_all([*inside, *outside, nowhere])
            ends_clean(self, server)

    @with_one_loop_and_two
    def test_frames_of_each_sender_come_in_their_order(self, loops):
        with RoomServer(loops, "--send-queue-bytes", "4000000") as server:
            peers = [server.enter(self, b"order", timeout=10) for _ in range(6)]
            count = 300

            def send_all(number):
                rng = random.Random(number)
                for serial in range(count):
                    peers[number].sendall(frame(struct.pack(">II", number, serial) +
                                                payload_of(rng.choice((1, 50, 900, 3000)), serial)))

            senders = [threading.Thread(target=send_all, args=(number,)) for number in range(3)]
            readers = []
            for peer in peers:
                seen = []
                readers.append((threading.Thread(target=self.read_all, args=(peer, 3 * count, seen)), seen))
            for thread in [*senders, *(reader for reader, _ in readers)]:
                thread.start()
            for thread in [*senders, *(reader for reader, _ in readers)]:
                thread.join()
            for _, seen in readers:
                self.assertEqual(len(seen), 3 * count)
                for number in range(3):
                    serials = [serial for sender, serial in seen if sender == number]
                    self.assertEqual(serials, list(range(count)))
            close_all(peers)
            ends_clean(self, server)

    @staticmethod
    def read_all(peer, count, seen):
        for _ in range(count):
            said = receive_frame(peer)
            sender, serial = struct.unpack(">II", said[:8])
            if said[8:] != payload_of(len(said) - 8, serial):
                return
            seen.append((sender, serial))

    @with_one_loop_and_two
    def test_who_leaves_gets_nothing_more_and_may_come_back(self, loops):
        with RoomServer(loops) as server:
            stays = [server.enter(self, b"door") for _ in range(5)]
            for turn in range(30):
                guest = server.enter(self, b"door")
                said = payload_of(100 + turn, turn)
                stays[turn % 5].sendall(frame(said))
                for peer in [*stays, guest]:
                    self.assertEqual(receive_frame(peer), said)
                if turn % 2:  # one in the middle leaves too, and its seat is another's
                    stays.pop(turn % 4).close()
                    stays.append(guest)
                else:
                    guest.close()
                server.wait_for_stats(lambda s: s["connections"]["open"] == 5)
            self.assertTrue(is_silent(stays))
            close_all(stays)
            ends_clean(self, server)

    @with_one_loop_and_two
    def test_a_name_longer_than_64_bytes_is_a_protocol_error(self, loops):
        with RoomServer(loops) as server:
            longest = server.enter(self, b"n" * 64)
            for rest in (b"", frame(b"n" * 64) + frame(b"from outside")):  # what lies behind is not looked at
                peer = server.connect()
                peer.sendall(frame(b"n" * 65) + rest)
                self.assertEqual(peer.recv(1), b"")
                peer.close()
            self.assertTrue(is_silent([longest]))
            stats = server.wait_for_stats(lambda s: s["connections"]["closed_by"]["protocol"] == 2)
            self.assertEqual(stats["protocol_errors"]["too_long"], 2)
            longest.close()
            ends_clean(self, server)

    @with_one_loop_and_two
    def test_frames_split_at_every_byte_reach_everyone(self, loops):
        stream = frame(b"split") + frame(payload_of(37, 1)) + frame(payload_of(3, 2))
        with RoomServer(loops) as server:
            witness = server.enter(self, b"split")
            for cut in range(1, len(stream)):
                with server.connect() as peer:
                    peer.sendall(stream[:cut])
                    if cut % 8 == 0:
                        time.sleep(0.001)
                    peer.sendall(stream[cut:])
                    self.assertEqual(receive_exactly(peer, len(stream)), stream)
                said = stream[4 + len(b"split"):]
                self.assertEqual(receive_exactly(witness, len(said)), said)
            with server.connect() as peer:
                for byte in stream:
                    peer.sendall(bytes([byte]))
                self.assertEqual(receive_exactly(peer, len(stream)), stream)
            witness.close()
            ends_clean(self, server)

    @with_one_loop_and_two
    def test_the_largest_frame_reaches_everyone_in_pieces_and_from_scarce_buffers(self, loops):
        with RoomServer(loops, "--class", "4096:32", "--class", "16384:4") as server:
            peers = [server.enter(self, b"large") for _ in range(4)]
            for number in range(12):
                said = payload_of(16384 - number % 6, number)
                peers[number % 4].sendall(frame(said))
                for peer in peers:
                    self.assertEqual(receive_frame(peer), said)
            self.assertEqual(server.stats()["rooms"]["drops"], 0)
            close_all(peers)
            ends_clean(self, server)

    @with_one_loop_and_two
    def test_copies_for_each_member_say_the_same(self, loops):
        with RoomServer(loops, "--room-copies") as server:
            peers = [server.enter(self, b"copies") for _ in range(8)]
            for number in range(20):
                said = payload_of(1 + number * 211, number)
                whole = frame(said)
                peers[number % 8].sendall(whole[:2 + number])
                peers[number % 8].sendall(whole[2 + number:])
                for peer in peers:
                    self.assertEqual(receive_frame(peer), said)
            close_all(peers)
            ends_clean(self, server)


class SlowMembers(unittest.TestCase):
    ROUNDS = 1500

    def speak(self, server):
        """One who never reads, among others who do: they get every frame."""
        slow = server.enter(self, b"slow", receive_buffer=4096)
        others = [server.enter(self, b"slow") for _ in range(3)]
        for number in range(self.ROUNDS):
            said = payload_of(4000, number % 7)
            others[number % 3].sendall(frame(said))
            for peer in others:
                self.assertEqual(receive_frame(peer), said)
        return slow, others

    @with_one_loop_and_two
    def test_a_member_that_does_not_read_is_closed(self, loops):
        with RoomServer(loops, "--slow-member", "close") as server:
            slow, others = self.speak(server)
            stats = server.wait_for_stats(lambda s: s["connections"]["closed_by"]["slow"] == 1)
            self.assertEqual(stats["connections"]["open"], 3)
            self.assertTrue(closed_by_server(slow))
            close_all([slow, *others])
            ends_clean(self, server)

    @with_one_loop_and_two
    def test_a_member_that_does_not_read_is_skipped(self, loops):
        with RoomServer(loops, "--slow-member", "skip", "--send-timeout", "60") as server:
            slow, others = self.speak(server)
            stats = server.stats()
            self.assertEqual(stats["connections"]["open"], 4)
            self.assertGreater(stats["rooms"]["drops"], 0)
            got = 0
            slow.settimeout(1)
            while not is_silent([slow], 0.3):
                self.assertIn(receive_frame(slow), [payload_of(4000, n) for n in range(7)])
                got += 1
            self.assertEqual(got + stats["rooms"]["drops"], self.ROUNDS)
            others[0].sendall(frame(b"and now it reads"))
            self.assertEqual(receive_frame(slow), b"and now it reads")
            close_all([slow, *others])
            ends_clean(self, server)

    @with_one_loop_and_two
    def test_one_whose_own_frames_fill_its_queue_is_closed_and_no_other(self, loops):
        for idle in ("receive", "poll"):
            with RoomServer(loops, "--send-queue-bytes", "1000", "--idle-mode", idle) as server:
                for number in range(20):
                    peer = server.enter(self, b"own %d" % number)
                    peer.sendall(frame(b"A" * 2000) + frame(b"2") * 3 + frame(b"B" * 900))
                    self.assertEqual(receive_frame(peer), b"A" * 2000)  # an empty queue takes any frame
                    peer.close()
                with server.enter(self, b"own 0") as peer:
                    peer.sendall(frame(b"here"))
                    self.assertEqual(receive_frame(peer), b"here")
                ends_clean(self, server)


class ComingAndGoing(unittest.TestCase):
    ROOMS = 100_000 if FULL else 10_000

    def visit(self, server, worker, count, found):
        """Room after room, each for two members, with a mark of its own in every frame."""
        try:
            for number in range(worker, count, 4):
                mark = b"%d:%d;" % (worker, number)
                name = b"room " + mark
                with server.connect() as one, server.connect() as two:
                    for peer in (one, two):
                        peer.sendall(frame(name))
                        if receive_frame(peer) != name:
                            found.append((mark, "another name"))
                    said = mark * (1 + number % 40)
                    one.sendall(frame(said) + frame(said[::-1]))
                    for peer in (two, one):
                        for expected in (said, said[::-1]):
                            got = receive_frame(peer)
                            if got != expected:
                                found.append((mark, got))
                    if number % 3 == 0:  # and leaves with a frame under way to the other
                        two.sendall(frame(said))
        except (OSError, AssertionError) as error:
            found.append((worker, repr(error)))

    def storm(self, loops, rooms):
        with RoomServer(loops, "--idle-timeout", "60") as server:
            with server.enter(self, b"a witness") as witness:
                found = []
                resident = []
                for turn in range(4):
                    workers = [threading.Thread(target=self.visit, args=(server, n, rooms // 4, found))
                               for n in range(4)]
                    for worker in workers:
                        worker.start()
                    for worker in workers:
                        worker.join()
                    self.assertEqual(found, [])
                    resident.append(server.private_dirty_bytes())
                self.assertTrue(is_silent([witness]))
                witness.sendall(frame(b"still here"))
                self.assertEqual(receive_frame(witness), b"still here")
                stats = server.wait_for_stats(lambda s: s["rooms"]["count"] == 1)
            ends_clean(self, server)
            if not SANITIZED:
                self.assertLess(resident[-1], resident[0] + (1 << 20))
            print(f"{loops} loops: {rooms:,} rooms, {stats['connections']['accepted']:,} members, no byte in another "
                  f"room; private memory {resident[0] >> 10:,} KiB after a quarter, {resident[-1] >> 10:,} at the end")

    def test_no_byte_reaches_another_room_on_one_loop(self):
        self.storm(1, self.ROOMS // 2)

    def test_no_byte_reaches_another_room_on_two_loops(self):
        self.storm(2, self.ROOMS // 2)


if __name__ == "__main__":
    frame_client.main()
