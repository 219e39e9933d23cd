// SPDX-License-Identifier: MIT
#include "ringpool/codec/frame.hpp"

namespace ringpool {
namespace {

class frame_error_category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "ringpool.frame"; }

  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<frame_errc>(value)) {
      case frame_errc::zero_length: return "frame length is 0; accepted: 1 to the maximum";
      case frame_errc::negative_length:
        return "frame length is negative; accepted: 1 to the maximum";
      case frame_errc::too_long: return "frame length is above the maximum";
    }
    return "unknown frame error " + std::to_string(value);
  }
};

const char* fault_of(frame_errc code) noexcept {
  switch (code) {
    case frame_errc::zero_length: return " is zero";
    case frame_errc::negative_length: return " is negative";
    case frame_errc::too_long: return " is above the maximum";
  }
  return " is bad";
}

}  // namespace

const std::error_category& frame_category() noexcept {
  static const frame_error_category category;
  return category;
}

std::error_code make_error_code(frame_errc code) noexcept {
  return {static_cast<int>(code), frame_category()};
}

std::string describe(frame_errc code, std::int32_t length, std::uint32_t max_frame_bytes) {
  return "frame length " + std::to_string(length) + fault_of(code) + "; accepted: 1 to " +
         std::to_string(max_frame_bytes);
}

frame_cursor::frame_cursor(std::uint32_t max_frame_bytes) noexcept
    : max_frame_bytes_(std::clamp(max_frame_bytes, std::uint32_t{1}, max_frame_limit_bytes)) {}

bool frame_cursor::read_header(std::span<const std::byte>& input) noexcept {
  while (!header_complete()) {
    if (input.empty()) {
      return false;
    }
    length_ = (length_ << 8) | std::to_integer<std::uint32_t>(input.front());
    input = input.subspan(1);
    ++header_count_;
    if (header_complete()) {
      check_length();
    }
  }
  return !failed();
}

void frame_cursor::check_length() noexcept {
  if (length_ == 0) {
    error_ = frame_errc::zero_length;
  } else if (length_ > max_frame_limit_bytes) {
    error_ = frame_errc::negative_length;
  } else if (length_ > max_frame_bytes_) {
    error_ = frame_errc::too_long;
  }
}

std::size_t frame_cursor::wanted(std::size_t capacity,
                                 std::span<const std::byte> input) const noexcept {
  const std::size_t whole = length_;
  const std::size_t reached = std::min(whole, received_ + input.size());
  return reached <= capacity ? 0 : std::min(whole, std::max(reached, 2 * capacity));
}

frame_header encode_frame_header(std::uint32_t payload_bytes) noexcept {
  return {static_cast<std::byte>(payload_bytes >> 24), static_cast<std::byte>(payload_bytes >> 16),
          static_cast<std::byte>(payload_bytes >> 8), static_cast<std::byte>(payload_bytes)};
}

std::size_t encode_frame(std::span<std::byte> out, std::span<const std::byte> payload) noexcept {
  const std::size_t length = frame_header_bytes + payload.size();
  if (payload.empty() || payload.size() > max_frame_limit_bytes || out.size() < length) {
    return 0;
  }
  const frame_header header = encode_frame_header(static_cast<std::uint32_t>(payload.size()));
  std::memcpy(out.data(), header.data(), header.size());
  std::memcpy(out.data() + header.size(), payload.data(), payload.size());
  return length;
}

std::array<::iovec, 2> frame_iovecs(const frame_header& header,
                                    std::span<const std::byte> payload) noexcept {
  // iovec has no const form; sending does not write through it
  return {::iovec{const_cast<std::byte*>(header.data()), header.size()},
          ::iovec{const_cast<std::byte*>(payload.data()), payload.size()}};
}

}  // namespace ringpool
