// SPDX-License-Identifier: MIT
#include "load_window.hpp"

namespace ringpool::tools {

std::uint64_t echo_window::add(std::int64_t due_ns) {
  if (next_ - base_ == ring_.size()) {
    grow();
  }
  const std::uint64_t sequence = next_++;
  slot(sequence) = due_ns;
  ++outstanding_;
  return sequence;
}

echo echo_window::judge(std::span<const std::byte> payload, const frame_stamp& own) noexcept {
  const auto stamp = read_payload(payload);
  if (!stamp) {
    settle_oldest();
    return {echo_verdict::corrupted, 0};
  }
  const std::uint64_t sequence = stamp->sequence;
  if (stamp->run != own.run || stamp->connection != own.connection || sequence >= next_) {
    settle_oldest();
    return {echo_verdict::foreign, 0};
  }
  if (sequence < base_ || slot(sequence) == settled) {
    return {echo_verdict::duplicated, 0};
  }
  const echo result{sequence < expected_ ? echo_verdict::out_of_order : echo_verdict::in_order,
                    slot(sequence)};
  if (sequence >= expected_) {
    expected_ = sequence + 1;
  }
  slot(sequence) = settled;
  --outstanding_;
  advance();
  return result;
}

std::uint64_t echo_window::give_up() noexcept {
  const std::uint64_t given_up = outstanding_;
  base_ = next_;
  expected_ = next_;
  outstanding_ = 0;
  return given_up;
}

void echo_window::settle_oldest() noexcept {
  if (outstanding_ == 0) {
    return;
  }
  slot(base_) = settled;  // advance() leaves base_ at an outstanding frame whenever there is one
  --outstanding_;
  advance();
}

void echo_window::advance() noexcept {
  while (base_ != next_ && slot(base_) == settled) {
    ++base_;
  }
}

void echo_window::grow() {
  std::vector<std::int64_t> larger(ring_.empty() ? 1 : ring_.size() * 2);
  for (std::uint64_t sequence = base_; sequence != next_; ++sequence) {
    larger[sequence & (larger.size() - 1)] = slot(sequence);
  }
  ring_.swap(larger);
}

}  // namespace ringpool::tools
