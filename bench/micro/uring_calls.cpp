// SPDX-License-Identifier: MIT
//
// io_uring's ways to send and to receive, on Google Benchmark: whether registered memory, zero copy
// and provided buffers pay over loopback. A turn is one call on each of a few TCP pairs, submitted
// together, to the last completion. The other end is part of every figure, and the same for all
// that do the same: it drops what it gets (MSG_TRUNC), and sends with send(2).

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <ringpool/adapters/uring.hpp>
#include <ringpool/ringpool.hpp>
#include <string>
#include <system_error>
#include <vector>

#ifndef IORING_SEND_ZC_REPORT_USAGE  // liburing 2.3 does not know them; Linux 6.2 does
#define IORING_SEND_ZC_REPORT_USAGE (1U << 3)
#define IORING_NOTIF_USAGE_ZC_COPIED (1U << 31)
#endif

namespace {

using ringpool::ring_buffer_pool;
namespace uring = ringpool::uring;

constexpr std::size_t pair_count = 8;
constexpr std::size_t largest_bytes = 16384;
constexpr int socket_buffer_bytes = 200'000;
constexpr int longest_wait_ms = 5000;
// Linux 6.12, and not in liburing 2.3.
constexpr std::uint16_t consume_incrementally = 2;  // IOU_PBUF_RING_INC
constexpr std::uint32_t buffer_goes_on = 1U << 4;   // IORING_CQE_F_BUF_MORE

int checked(int result, const char* what) {
  return result >= 0 ? result : throw std::system_error(errno, std::generic_category(), what);
}

/// A TCP connection over loopback.
class tcp_pair {
 public:
  tcp_pair() {
    const int listener = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    ::sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::socklen_t length = sizeof where;
    auto* const address = reinterpret_cast<::sockaddr*>(&where);
    checked(::bind(listener, address, length), "bind");
    checked(::listen(listener, 1), "listen");
    checked(::getsockname(listener, address, &length), "getsockname");
    ours = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    prepare(ours);
    checked(::connect(ours, address, length), "connect");
    theirs = checked(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");
    prepare(theirs);
    ::close(listener);
  }
  ~tcp_pair() {
    ::close(ours);
    ::close(theirs);
  }
  tcp_pair(const tcp_pair&) = delete;
  tcp_pair& operator=(const tcp_pair&) = delete;

  int ours = -1;
  int theirs = -1;

 private:
  static void prepare(int fd) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (const int which : {SO_SNDBUF, SO_RCVBUF}) {
      ::setsockopt(fd, SOL_SOCKET, which, &socket_buffer_bytes, sizeof socket_buffer_bytes);
    }
  }
};

/// What all benchmarks need: a ring of this thread, and connections.
struct bed {
  bed() : ring({.submission_entries = 64, .completion_entries = 256}) { ring.enable(); }

  ::io_uring_sqe& entry(std::size_t pair) {
    ::io_uring_sqe* const free = ring.next_entry();
    if (free == nullptr) {
      throw std::system_error(EAGAIN, std::generic_category(), "no submission entry");
    }
    ::io_uring_prep_nop(free);
    free->user_data = pair;
    return *free;
  }
  /// Submits, and hands over completions until `done` says so.
  template <class Take, class Done>
  void run(Take take, Done done) {
    while (!done()) {
      ring.submit_and_wait(longest_wait_ms);
      ::io_uring_cqe* next = ring.peek();
      if (next == nullptr) {
        throw std::system_error(ETIMEDOUT, std::generic_category(), "no completion");
      }
      for (; next != nullptr; next = ring.peek()) {
        const ::io_uring_cqe completion = *next;
        ring.seen(next);
        take(completion);
      }
    }
  }

  std::array<tcp_pair, pair_count> pairs;
  uring::ring ring;
};

/// Google Benchmark's threads and this file's errors.
template <class Body>
void guarded(benchmark::State& state, Body body) {
  try {
    body();
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
  }
}

// --- sends ---

enum class send_kind { plain, zero_copy, registered };

void drop(int fd, std::size_t bytes) {
  while (bytes != 0) {
    const ::ssize_t got = ::recv(fd, nullptr, bytes, MSG_TRUNC);
    checked(static_cast<int>(got), "recv");
    bytes -= static_cast<std::size_t>(got);
  }
}

void prepare_send(::io_uring_sqe& entry, send_kind kind, int fd, const ringpool::buffer& from,
                  int registered_index) {
  const auto user_data = entry.user_data;
  if (kind == send_kind::plain) {
    ::io_uring_prep_send(&entry, fd, from.data(), from.size(), MSG_WAITALL);
  } else {
    ::io_uring_prep_send_zc(&entry, fd, from.data(), from.size(), MSG_WAITALL,
                            IORING_SEND_ZC_REPORT_USAGE);
  }
  if (kind == send_kind::registered) {
    entry.ioprio |= IORING_RECVSEND_FIXED_BUF;
    entry.buf_index = static_cast<std::uint16_t>(registered_index);
  }
  entry.user_data = user_data;
}

void sends(benchmark::State& state, send_kind kind) {
  guarded(state, [&] {
    const auto bytes = static_cast<std::size_t>(state.range(0));
    ring_buffer_pool pool(largest_bytes, 64);
    bed here;
    const uring::registered_memory registered(here.ring, pool);
    std::vector<ringpool::buffer> buffers;
    for (std::size_t i = 0; i < pair_count; ++i) {
      buffers.push_back(pool.alloc(bytes));
      std::fill_n(buffers[i].data(), bytes, std::byte{1});
    }
    std::int64_t copied = 0;
    std::size_t sent = 0;
    std::size_t ended = 0;
    const auto take = [&](const ::io_uring_cqe& completion) {
      if ((completion.flags & IORING_CQE_F_NOTIF) != 0) {
        const auto usage = static_cast<std::uint32_t>(completion.res);
        copied += (usage & IORING_NOTIF_USAGE_ZC_COPIED) != 0 ? 1 : 0;
        ++ended;
        return;
      }
      if (completion.res != static_cast<int>(bytes)) {
        throw std::system_error(completion.res < 0 ? -completion.res : EIO, std::generic_category(),
                                "send");
      }
      ++sent;
      ended += (completion.flags & IORING_CQE_F_MORE) == 0 ? 1 : 0;
    };
    for (auto _ : state) {
      sent = ended = 0;
      for (std::size_t i = 0; i < pair_count; ++i) {
        prepare_send(here.entry(i), kind, here.pairs[i].ours, buffers[i],
                     registered.index_of(buffers[i].data()));
      }
      here.run(take, [&] { return sent == pair_count; });
      for (const tcp_pair& one : here.pairs) {
        drop(one.theirs, bytes);
      }
      here.run(take, [&] { return ended == pair_count; });
    }
    const auto calls = state.iterations() * static_cast<std::int64_t>(pair_count);
    state.SetItemsProcessed(calls);
    state.counters["copied"] = static_cast<double>(copied) / static_cast<double>(calls);
  });
}

// --- receives ---

/// A receive for each message, into a buffer that stays: armed before the message comes.
class plain_receives {
 public:
  plain_receives(bed& here, std::size_t bytes)
      : here_(here), memory_(pair_count, std::vector<char>(bytes)) {
    for (std::size_t i = 0; i < pair_count; ++i) {
      arm(i);
    }
  }
  void take(const ::io_uring_cqe& completion) { arm(completion.user_data); }
  void end_turn() {}

 private:
  void arm(std::size_t pair) {
    ::io_uring_sqe& entry = here_.entry(pair);
    ::io_uring_prep_recv(&entry, here_.pairs[pair].ours, memory_[pair].data(), memory_[pair].size(),
                         0);
    entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
    entry.user_data = pair;
  }

  bed& here_;
  std::vector<std::vector<char>> memory_;
};

void arm_multishot(bed& here, std::size_t pair) {
  ::io_uring_sqe& entry = here.entry(pair);
  ::io_uring_prep_recv_multishot(&entry, here.pairs[pair].ours, nullptr, 0, 0);
  entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
  entry.flags |= IOSQE_BUFFER_SELECT;
  entry.buf_group = 0;
  entry.user_data = pair;
}

/// A multishot receive for each connection, and buffers of a pool for all.
class multishot_receives {
 public:
  multishot_receives(bed& here, std::size_t bytes)
      : here_(here),
        pool_(bytes, 256),
        receives_(here.ring, pool_, {.entries = 64, .buffer_bytes = bytes}) {
    end_turn();
    for (std::size_t i = 0; i < pair_count; ++i) {
      arm_multishot(here, i);
    }
  }
  void take(const ::io_uring_cqe& completion) {
    benchmark::DoNotOptimize(receives_.take(completion, 0).data());
    if ((completion.flags & IORING_CQE_F_MORE) == 0) {
      arm_multishot(here_, completion.user_data);
    }
  }
  void end_turn() { receives_.refill(64); }

 private:
  bed& here_;
  ring_buffer_pool pool_;
  uring::receive_buffers<ring_buffer_pool> receives_;
};

/// Likewise, but the kernel fills a few large buffers one message behind the other.
class incremental_receives {
 public:
  incremental_receives(bed& here, std::size_t)
      : here_(here), memory_(buffer_count * buffer_bytes), entries_(buffer_count) {
    ::io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(&entries_.front());
    registration.ring_entries = buffer_count;
    registration.pad = consume_incrementally;  // `flags` of later versions
    ::io_uring_buf_ring_init(ring());
    if (const int error = ::io_uring_register_buf_ring(&here.ring.native(), &registration, 0);
        error < 0) {
      throw std::system_error(-error, std::generic_category(), "incremental buffers (Linux 6.12)");
    }
    for (unsigned id = 0; id < buffer_count; ++id) {
      add(id);
    }
    for (std::size_t i = 0; i < pair_count; ++i) {
      arm_multishot(here, i);
    }
  }
  ~incremental_receives() { ::io_uring_unregister_buf_ring(&here_.ring.native(), 0); }
  incremental_receives(const incremental_receives&) = delete;
  incremental_receives& operator=(const incremental_receives&) = delete;

  void take(const ::io_uring_cqe& completion) {
    if ((completion.flags & IORING_CQE_F_BUFFER) != 0 && (completion.flags & buffer_goes_on) == 0) {
      add(completion.flags >> IORING_CQE_BUFFER_SHIFT);
    }
    if ((completion.flags & IORING_CQE_F_MORE) == 0) {
      arm_multishot(here_, completion.user_data);
    }
  }
  void end_turn() {}

 private:
  static constexpr unsigned buffer_count = 16;
  static constexpr std::size_t buffer_bytes = std::size_t{1} << 16;
  struct alignas(4096) page {
    std::array<::io_uring_buf, 256> entries;
  };

  ::io_uring_buf_ring* ring() noexcept {
    return reinterpret_cast<::io_uring_buf_ring*>(&entries_.front());
  }
  void add(unsigned id) noexcept {
    ::io_uring_buf_ring_add(ring(), memory_.data() + id * buffer_bytes, buffer_bytes,
                            static_cast<std::uint16_t>(id), buffer_count - 1, 0);
    ::io_uring_buf_ring_advance(ring(), 1);
  }

  bed& here_;
  std::vector<char> memory_;
  std::vector<page> entries_;
};

template <class Receives>
void receives(benchmark::State& state) {
  guarded(state, [&] {
    const auto bytes = static_cast<std::size_t>(state.range(0));
    bed here;
    Receives receiver(here, bytes);
    here.ring.submit();
    const std::vector<char> message(bytes, 1);
    std::size_t missing = 0;
    const auto take = [&](const ::io_uring_cqe& completion) {
      if (completion.res <= 0 && completion.res != -ENOBUFS) {
        throw std::system_error(completion.res < 0 ? -completion.res : EIO, std::generic_category(),
                                "receive");
      }
      missing -= static_cast<std::size_t>(completion.res > 0 ? completion.res : 0);
      receiver.take(completion);
    };
    for (auto _ : state) {
      missing = bytes * pair_count;
      for (const tcp_pair& one : here.pairs) {
        checked(static_cast<int>(::send(one.theirs, message.data(), bytes, MSG_NOSIGNAL)), "send");
      }
      here.run(take, [&] { return missing == 0; });
      receiver.end_turn();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(pair_count));
  });
}

void add_all() {
  std::vector<benchmark::internal::Benchmark*> all;
  const auto add = [&all](const char* name, auto function) {
    all.push_back(benchmark::RegisterBenchmark(name, function));
  };
  add("send/plain", [](benchmark::State& state) { sends(state, send_kind::plain); });
  add("send/zero-copy", [](benchmark::State& state) { sends(state, send_kind::zero_copy); });
  add("send/zero-copy-registered",
      [](benchmark::State& state) { sends(state, send_kind::registered); });
  add("receive/plain", receives<plain_receives>);
  add("receive/multishot", receives<multishot_receives>);
  add("receive/incremental", receives<incremental_receives>);
  for (benchmark::internal::Benchmark* const one : all) {
    one->Arg(64)->Arg(1024)->Arg(largest_bytes)->UseRealTime();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (const std::string missing = uring::find_missing(); !missing.empty()) {
    std::fprintf(stderr, "%s: %s\n", argv[0], missing.c_str());
    return 1;
  }
  add_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
