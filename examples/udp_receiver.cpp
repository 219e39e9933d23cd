// SPDX-License-Identifier: MIT
//
// Datagrams in batches: up to 32 of them by one system call, each into a pooled buffer of its own,
// which is then passed on as it is. It sends them to itself here, and ends.

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <ringpool/ringpool.hpp>
#include <vector>

namespace {

class udp_receiver {
 public:
  static constexpr std::size_t batch = 32;

  udp_receiver(int socket, ringpool::ring_buffer_pool& pool) : socket_(socket), pool_(pool) {
    for (std::size_t i = 0; i < batch; ++i) {
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  /// Waits for datagrams, with no buffer; then hands over all that have come, each as a
  /// ringpool::buffer of its size. False: none came for `timeout_ms`.
  template <class OnDatagram>
  bool receive(int timeout_ms, OnDatagram on_datagram) {
    ::pollfd readable{socket_, POLLIN, 0};
    if (::poll(&readable, 1, timeout_ms) <= 0) {
      return false;
    }
    while (receive_batch(on_datagram)) {
    }
    return true;
  }

  std::size_t calls = 0;
  std::size_t datagrams = 0;
  std::size_t truncated = 0;  // of datagrams: longer than a buffer, and dropped

 private:
  /// True: the batch was full, so there may be more.
  template <class OnDatagram>
  bool receive_batch(OnDatagram& on_datagram) {
    std::array<ringpool::buffer, batch> buffers;  // those that are not filled go back at the end
    unsigned room = 0;
    for (; room < batch && (buffers[room] = pool_.try_alloc(pool_.buffer_size())); ++room) {
      parts_[room] = {buffers[room].data(), buffers[room].size()};
    }
    const int filled = ::recvmmsg(socket_, messages_.data(), room, MSG_DONTWAIT, nullptr);
    ++calls;
    for (std::size_t i = 0; static_cast<int>(i) < filled; ++i) {
      ++datagrams;
      if ((messages_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
        ++truncated;
      } else {
        buffers[i].resize(messages_[i].msg_len);
        on_datagram(std::move(buffers[i]));
      }
    }
    return filled == static_cast<int>(batch);
  }

  int socket_;
  ringpool::ring_buffer_pool& pool_;
  std::array<::iovec, batch> parts_{};
  std::array<::mmsghdr, batch> messages_{};
};

/// A datagram of `size` bytes that begins with its number.
void send_number(int socket, std::uint32_t number, std::size_t size) {
  std::array<char, 4096> bytes{};
  std::memcpy(bytes.data(), &number, sizeof number);
  if (::send(socket, bytes.data(), size, 0) != static_cast<::ssize_t>(size)) {
    std::perror("send");
  }
}

}  // namespace

int main() {
  const int inbox = ::socket(AF_INET, SOCK_DGRAM, 0);
  const int outbox = ::socket(AF_INET, SOCK_DGRAM, 0);
  ::sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::socklen_t length = sizeof where;
  auto* const address = reinterpret_cast<::sockaddr*>(&where);
  if (::bind(inbox, address, length) != 0 || ::getsockname(inbox, address, &length) != 0 ||
      ::connect(outbox, address, length) != 0) {
    std::perror("udp socket");
    return 1;
  }

  ringpool::ring_buffer_pool pool(2048, 256, {.upstream = nullptr});
  udp_receiver receiver(inbox, pool);
  std::vector<ringpool::buffer> kept;
  for (std::uint32_t i = 0; i < 100; ++i) {
    send_number(outbox, i, i % 10 == 9 ? 3000 : 4 + i);  // each tenth is too long
  }
  receiver.receive(1000, [&](ringpool::buffer&& one) { kept.push_back(std::move(one)); });

  bool right = kept.size() == 90 && pool.stats().in_use == 90;  // those, and no other
  for (const ringpool::buffer& one : kept) {
    std::uint32_t number = 0;
    std::memcpy(&number, one.data(), sizeof number);
    right = right && number % 10 != 9 && one.size() == 4 + number;
  }
  kept.clear();
  std::printf("%zu datagrams in %zu calls, %zu too long; %lu buffers held\n", receiver.datagrams,
              receiver.calls, receiver.truncated, pool.stats().in_use);
  ::close(inbox);
  ::close(outbox);
  return right && receiver.truncated == 10 && pool.stats().in_use == 0 ? 0 : 1;
}
