// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>

namespace ringpool::model {

/// A stack of its own to run on: switches are a dozen instructions and no system call, so that an
/// exploration makes millions a second. x86-64 and aarch64.
class fiber {
 public:
  using entry = void (*)(void* argument);

  fiber();
  /// Prepares to call entry(argument) at the next resume; entry never returns, it suspends for
  /// good.
  void start(entry call, void* argument) noexcept;
  /// Runs the fiber until it suspends.
  void resume() noexcept;
  /// Called on the fiber: goes back to who resumed it.
  void suspend() noexcept;

 private:
  static constexpr std::size_t stack_bytes = std::size_t{64} << 10;

  std::unique_ptr<std::byte[]> stack_;
  void* own_ = nullptr;     // stack pointer while suspended
  void* caller_ = nullptr;  // stack pointer of the resumer
};

}  // namespace ringpool::model
