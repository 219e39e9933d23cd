// SPDX-License-Identifier: MIT
// A TCP echo on io_uring and a pool, and a client to try it: no buffer for an idle connection, no
// copy of what is echoed, no system call for a receive. Ends by itself.

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <ringpool/adapters/uring.hpp>
#include <string>
#include <thread>

namespace {

constexpr std::uint64_t accepted = 1ULL << 32, received = 2ULL << 32, sent = 3ULL << 32;

class echo_server {
 public:
  explicit echo_server(int listener)
      : listener_(listener),
        pool_(2048, 1024),
        ring_({.submission_entries = 256, .completion_entries = 1024, .direct_descriptors = 1024}),
        receives_(ring_, pool_, {.entries = 64, .buffer_bytes = 2048}) {
    ring_.enable();
  }

  /// Until `connections` of them have come and gone.
  void run(int connections) {
    accept();
    for (open_ = connections; open_ != 0;) {
      receives_.refill(64);
      ring_.submit_and_wait(-1);
      while (::io_uring_cqe* const found = ring_.peek()) {
        const ::io_uring_cqe completion = *found;
        ring_.seen(found);
        dispatch(completion);
      }
    }
    std::printf("%d connections; buffers in use by the server: %llu\n", connections,
                static_cast<unsigned long long>(pool_.stats().in_use - receives_.kernel_owned()));
  }

 private:
  void dispatch(const ::io_uring_cqe& completion) {
    const auto number = static_cast<std::uint32_t>(completion.user_data);
    const std::uint64_t what = completion.user_data - number;
    if (what == accepted && completion.res >= 0) {
      receive(static_cast<std::uint32_t>(completion.res));
    } else if (what == received) {
      on_receive(number, completion);
    } else if (what == sent) {
      sends_.complete(number, completion);
    }
  }

  /// Every connection goes straight into the ring's table: it never has a descriptor number.
  void accept() {
    ::io_uring_sqe* const entry = ring_.next_entry();
    ::io_uring_prep_multishot_accept_direct(entry, listener_, nullptr, nullptr, 0);
    ::io_uring_sqe_set_data64(entry, accepted);
  }

  /// The kernel takes a buffer when something comes, not before.
  void receive(std::uint32_t slot) {
    ::io_uring_sqe* const entry = ring_.next_entry();
    ::io_uring_prep_recv_multishot(entry, static_cast<int>(slot), nullptr, 0, 0);
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    entry->ioprio |= IORING_RECVSEND_POLL_FIRST;  // on an empty ring it waits and does not spin
    entry->buf_group = receives_.pick_group();
    ::io_uring_sqe_set_data64(entry, received | slot);
  }

  void on_receive(std::uint32_t slot, const ::io_uring_cqe& completion) {
    if (ringpool::buffer got = receives_.take(completion, 0); got && completion.res > 0) {
      send(slot, std::move(got));
    }
    if ((completion.flags & IORING_CQE_F_MORE) != 0) {
      return;  // it is still armed
    }
    if (completion.res > 0 || completion.res == -ENOBUFS) {
      receives_.refill(64);
      receive(slot);
    } else {
      ::io_uring_sqe* const entry = ring_.next_entry();
      ::io_uring_prep_close_direct(entry, slot);
      ::io_uring_sqe_set_data64(entry, 0);
      --open_;
    }
  }

  /// The ledger keeps the buffer until the kernel has read it. A server whose peers may be slow
  /// sends one thing at a time for each connection, and looks at how much was taken.
  void send(std::uint32_t slot, ringpool::buffer&& bytes) {
    ::io_uring_sqe* const entry = ring_.next_entry();
    ::io_uring_prep_send(entry, static_cast<int>(slot), bytes.data(), bytes.size(),
                         MSG_NOSIGNAL | MSG_WAITALL);
    entry->flags |= IOSQE_FIXED_FILE;
    ::io_uring_sqe_set_data64(entry, sent | sends_.start(std::move(bytes)));
  }

  int listener_;
  ringpool::ring_buffer_pool pool_;
  ringpool::uring::ring ring_;
  ringpool::uring::receive_buffers<ringpool::ring_buffer_pool> receives_;
  ringpool::uring::send_ledger<ringpool::buffer> sends_;
  int open_ = 0;
};

/// Says something and reads it back; true when it is the same.
bool try_echo(const ::sockaddr_in& where, const std::string& text) {
  const int peer = ::socket(AF_INET, SOCK_STREAM, 0);
  std::string back(text.size(), '\0');
  const bool same =
      ::connect(peer, reinterpret_cast<const ::sockaddr*>(&where), sizeof where) == 0 &&
      ::send(peer, text.data(), text.size(), 0) == static_cast<::ssize_t>(text.size()) &&
      ::recv(peer, back.data(), back.size(), MSG_WAITALL) == static_cast<::ssize_t>(text.size()) &&
      back == text;
  ::close(peer);
  return same;
}

}  // namespace

int main() {
  if (const std::string missing = ringpool::uring::find_missing(); !missing.empty()) {
    std::printf("not here: %s\n", missing.c_str());
    return 0;
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  ::sockaddr_in where{};
  ::socklen_t length = sizeof where;
  if (::listen(listener, 64) != 0 ||  // on any port
      ::getsockname(listener, reinterpret_cast<::sockaddr*>(&where), &length) != 0) {
    std::perror("listen");
    return 1;
  }
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool all_same = true;
  std::thread client([&] {
    for (int i = 1; i <= 100; ++i) {
      all_same = try_echo(where, std::string(static_cast<std::size_t>(i) * 97, 'r')) && all_same;
    }
  });
  echo_server(listener).run(100);
  client.join();
  std::puts(all_same ? "every byte came back" : "bytes were lost or changed");
  return all_same ? 0 : 1;
}
