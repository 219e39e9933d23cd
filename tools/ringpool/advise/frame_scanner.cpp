// SPDX-License-Identifier: MIT
#include "frame_scanner.hpp"

#include <algorithm>

namespace ringpool::tools {
namespace {

constexpr std::size_t header_size = 4;
constexpr std::size_t most_starts = 4096;  // places in a segment where a frame may begin
constexpr int most_links = 64;             // headers looked at from each of them
constexpr std::uint64_t most_bad_lengths = 16;

/// What a stream may be out of step for, beside a few of the longest frames.
constexpr std::uint64_t most_lost_bytes = std::uint64_t{1} << 20;

std::uint32_t length_at(std::span<const std::uint8_t> bytes, std::size_t at) noexcept {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 |
         std::uint32_t{bytes[at + 2]} << 8 | bytes[at + 3];
}

}  // namespace

void frame_scanner::begin() noexcept {
  state_ = state::header;
  sure_ = true;
  given_up_ = false;
  header_bytes_ = 0;
  unsure_.reset();
}

void frame_scanner::lose() noexcept {
  state_ = state::lost;
  sure_ = false;
  header_bytes_ = 0;
  lost_bytes_ = 0;
  unsure_.reset();
}

/// Where in a segment a frame begins: most senders write whole frames, so at its front, where one
/// good length will do for a try; elsewhere several must follow each other to its end.
std::optional<std::size_t> frame_scanner::find_frames(std::span<const std::uint8_t> bytes,
                                                      std::uint64_t length) noexcept {
  const std::size_t starts = std::min(bytes.size(), most_starts);
  for (std::size_t start = 0; start + header_size <= starts; ++start) {
    std::uint64_t at = start;
    int links = 0;
    bool all_good = true;
    while (all_good && links < most_links && at + header_size <= bytes.size()) {
      const std::uint32_t next = length_at(bytes, static_cast<std::size_t>(at));
      all_good = good(next);
      at += header_size + next;
      ++links;
    }
    const bool several = links > 2 || (links == 2 && at == length);
    if (all_good && (start == 0 || several)) {
      sure_ = links > 1 || at == length;
      return start;
    }
  }
  return std::nullopt;
}

void frame_scanner::feed(std::span<const std::uint8_t> captured, std::uint64_t length,
                         std::int64_t now, std::vector<traffic_sample>& out) {
  if (given_up_) {
    return;
  }
  std::uint64_t at = 0;
  if (state_ == state::lost) {
    const std::optional<std::size_t> start = find_frames(captured, length);
    if (!start) {
      lost_bytes_ += length;
      given_up_ = lost_bytes_ > most_lost_bytes + 4 * std::uint64_t{max_};
      return;
    }
    at = *start;
    state_ = state::header;
  }
  while (at < length && state_ != state::lost) {
    if (state_ == state::header) {
      read_header(captured, at, now, out);
      continue;
    }
    const std::uint64_t step = std::min<std::uint64_t>(missing_bytes_, length - at);
    at += step;
    missing_bytes_ -= static_cast<std::uint32_t>(step);
    if (missing_bytes_ == 0) {
      frame_is_whole(now, out);
    }
  }
  if (state_ == state::header && header_bytes_ == 0) {
    confirm(out);  // a frame and a segment that end together
  }
}

void frame_scanner::read_header(std::span<const std::uint8_t> captured, std::uint64_t& at,
                                std::int64_t now, std::vector<traffic_sample>& out) {
  if (at >= captured.size()) {
    ++missing_count_;
    lose();
    return;
  }
  if (header_bytes_ == 0) {
    begin_ns_ = now;
  }
  header_[header_bytes_++] = captured[static_cast<std::size_t>(at++)];
  if (header_bytes_ < header_size) {
    return;
  }
  header_bytes_ = 0;
  length_ = length_at(header_, 0);
  if (!good(length_)) {
    bad_length_count_ += sure_ ? 1 : 0;
    const bool hopeless = sure_ && (frame_count_ == 0 || bad_length_count_ > most_bad_lengths);
    lose();
    given_up_ = hopeless;
    return;
  }
  confirm(out);
  missing_bytes_ = length_;
  state_ = state::payload;
}

void frame_scanner::frame_is_whole(std::int64_t now, std::vector<traffic_sample>& out) {
  state_ = state::header;
  const traffic_sample frame{
      .at_ns = begin_ns_, .held_ns = std::max<std::int64_t>(0, now - begin_ns_), .bytes = length_};
  if (!sure_) {
    unsure_ = frame;
    return;
  }
  out.push_back(frame);
  ++frame_count_;
}

void frame_scanner::confirm(std::vector<traffic_sample>& out) {
  if (unsure_) {
    out.push_back(*unsure_);
    unsure_.reset();
    ++frame_count_;
    sure_ = true;
  }
}

}  // namespace ringpool::tools
