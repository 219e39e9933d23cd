// SPDX-License-Identifier: MIT
#include "ringpool/adapters/uring.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

namespace ringpool::uring {
namespace {

constexpr unsigned ring_flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED |
                                IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;

/// Where memory is in pieces, a ring of fewer entries may still be had; not of fewer than this.
constexpr unsigned fewest_entries = 16;

std::string with_reason(const char* what, int error) {
  return std::string(what) + ": " + std::strerror(error);
}

/// Two connected sockets, closed at the end.
struct socket_pair {
  socket_pair() noexcept {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      ends[0] = ends[1] = -1;
    }
  }
  socket_pair(const socket_pair&) = delete;
  socket_pair& operator=(const socket_pair&) = delete;
  ~socket_pair() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  int ends[2];
};

/// Receives one byte with a multishot receive into a provided buffer. 0, or an errno.
int try_multishot_receive(ring& owner) {
  constexpr std::uint16_t group = 0;
  alignas(64) std::byte memory[64];
  detail::buffer_ring entries(owner, group, 1);
  entries.add(memory, sizeof memory, 0, 0);
  entries.publish(1);
  const socket_pair sockets;
  if (::write(sockets.ends[1], "", 1) != 1) {
    return errno;
  }
  ::io_uring_sqe* entry = owner.next_entry();
  ::io_uring_prep_recv_multishot(entry, sockets.ends[0], nullptr, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = group;
  owner.submit_and_wait(1000);
  ::io_uring_cqe* completion = owner.peek();
  if (completion == nullptr) {
    return ETIMEDOUT;
  }
  const bool goes_on = (completion->flags & IORING_CQE_F_MORE) != 0;
  const int result = completion->res;
  owner.seen(completion);
  return result < 0 ? -result : goes_on ? 0 : EINVAL;
}

}  // namespace

void throw_error(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

std::string find_missing() {
  ::io_uring bare{};
  if (const int error = ::io_uring_queue_init(2, &bare, 0); error < 0) {
    return with_reason("io_uring cannot be used", -error) +
           (error == -EPERM ? " (forbidden: kernel.io_uring_disabled, or a filter of system calls)"
                            : " (it needs Linux 6.1)");
  }
  ::io_uring_queue_exit(&bare);
  try {
    ring trial({.submission_entries = 4, .completion_entries = 8, .direct_descriptors = 1});
    trial.enable();
    const int error = try_multishot_receive(trial);
    return error == 0 ? std::string()
                      : with_reason("multishot receives into provided buffers are missing", error) +
                            " (they need Linux 6.0)";
  } catch (const std::system_error& error) {
    return std::string(error.what()) + " (it needs Linux 6.1)";
  }
}

// --- ring ---

ring::ring(const ring_options& options) {
  unsigned submissions = options.submission_entries;
  unsigned completions = options.completion_entries;
  int error = 0;
  do {
    ::io_uring_params parameters{};
    parameters.flags = ring_flags;
    parameters.cq_entries = completions;
    error = ::io_uring_queue_init_params(submissions, &ring_, &parameters);
    submissions /= 2;
    completions /= 2;
  } while (error == -ENOMEM && submissions >= fewest_entries);
  if (error < 0) {
    throw_error(-error, "cannot make an io_uring with put-off work");
  }
  if (options.direct_descriptors != 0) {
    error = ::io_uring_register_files_sparse(&ring_, options.direct_descriptors);
    if (error < 0) {
      ::io_uring_queue_exit(&ring_);
      throw_error(-error, "cannot make a table of direct descriptors, as many as RLIMIT_NOFILE");
    }
  }
}

ring::~ring() { ::io_uring_queue_exit(&ring_); }

void ring::enable() {
  // liburing 2.3 declares io_uring_enable_rings() and does not export it.
  if (::syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) !=
      0) {
    throw_error(errno, "cannot enable an io_uring");
  }
}

bool ring::room(unsigned count) noexcept {
  if (io_uring_sq_space_left(&ring_) < count) {
    submit();
  }
  return io_uring_sq_space_left(&ring_) >= count;
}

::io_uring_sqe* ring::next_entry() noexcept {
  return room(1) ? ::io_uring_get_sqe(&ring_) : nullptr;
}

void ring::submit() noexcept { static_cast<void>(::io_uring_submit_and_get_events(&ring_)); }

void ring::submit_and_wait(int milliseconds) noexcept {
  ::io_uring_cqe* completion = nullptr;
  if (milliseconds < 0) {
    static_cast<void>(::io_uring_submit_and_wait(&ring_, 1));
    return;
  }
  ::__kernel_timespec limit{milliseconds / 1000, (milliseconds % 1000) * 1'000'000LL};
  static_cast<void>(::io_uring_submit_and_wait_timeout(&ring_, &completion, 1, &limit, nullptr));
}

void ring::set_direct(unsigned first, std::span<const int> descriptors) {
  const int done = ::io_uring_register_files_update(&ring_, first, descriptors.data(),
                                                    static_cast<unsigned>(descriptors.size()));
  if (done != static_cast<int>(descriptors.size())) {
    throw_error(done < 0 ? -done : ENFILE, "cannot enter direct descriptors");
  }
}

void ring::signal_to(int event_fd) {
  if (const int error = ::io_uring_register_eventfd(&ring_, event_fd); error < 0) {
    throw_error(-error, "cannot give an io_uring its eventfd");
  }
}

// --- provided buffers ---

namespace detail {

buffer_ring::buffer_ring(ring& owner, std::uint16_t group, unsigned entries)
    : owner_(owner),
      mapped_bytes_(entries * sizeof(::io_uring_buf)),
      entries_(entries),
      group_(group) {
  void* const memory =
      ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw_error(errno, "cannot map a provided-buffer ring");
  }
  ring_ = static_cast<::io_uring_buf_ring*>(memory);
  if (const int error = open(); error != 0) {
    ::munmap(memory, mapped_bytes_);
    throw_error(error, "cannot register a provided-buffer ring");
  }
}

int buffer_ring::open() noexcept {
  if (open_) {
    return 0;
  }
  ::io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(ring_);
  registration.ring_entries = entries_;
  registration.bgid = group_;
  ::io_uring_buf_ring_init(ring_);
  const int error = ::io_uring_register_buf_ring(&owner_.native(), &registration, 0);
  open_ = error >= 0;
  return open_ ? 0 : -error;
}

void buffer_ring::close() noexcept {
  if (std::exchange(open_, false)) {
    ::io_uring_unregister_buf_ring(&owner_.native(), group_);
  }
}

buffer_ring::~buffer_ring() {
  close();
  ::munmap(ring_, mapped_bytes_);
}

}  // namespace detail

// --- registered memory ---

registered_memory::registered_memory(ring& owner, std::span<const ring_buffer_pool> pools)
    : owner_(owner) {
  for (const ring_buffer_pool& pool : pools) {
    const std::span<std::byte> all = pool.ring_storage();
    const std::size_t stride = all.size() / pool.capacity();
    const std::size_t piece = max_registered_bytes / stride * stride;
    for (std::size_t at = 0; at < all.size(); at += piece) {
      pieces_.push_back({all.data() + at, std::min(piece, all.size() - at)});
    }
  }
  std::sort(pieces_.begin(), pieces_.end(),
            [](const ::iovec& a, const ::iovec& b) { return a.iov_base < b.iov_base; });
  if (const int error = ::io_uring_register_buffers(&owner.native(), pieces_.data(),
                                                    static_cast<unsigned>(pieces_.size()));
      error < 0) {
    throw_error(-error, "cannot register the memory of a pool");
  }
}

registered_memory::~registered_memory() { ::io_uring_unregister_buffers(&owner_.native()); }

int registered_memory::index_of(const void* data) const noexcept {
  const auto behind = std::upper_bound(
      pieces_.begin(), pieces_.end(), data,
      [](const void* address, const ::iovec& piece) { return address < piece.iov_base; });
  if (behind == pieces_.begin()) {
    return -1;
  }
  const auto& piece = *(behind - 1);
  const auto offset = static_cast<const std::byte*>(data) - static_cast<std::byte*>(piece.iov_base);
  return static_cast<std::size_t>(offset) < piece.iov_len
             ? static_cast<int>(behind - 1 - pieces_.begin())
             : -1;
}

}  // namespace ringpool::uring
