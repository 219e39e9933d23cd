// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool {

/// Names whoever allocates on this thread while it lives: a census tells holders apart by it.
///
/// Invariant: scopes nest; the innermost one counts.
/// Progress: wait-free.
/// Thread-safety: one thread, on which it is made and destroyed. A coroutine that goes on elsewhere
///   ends it before it suspends.
/// Cost: four moves of a word. It is read only where an allocation is sampled.
class owner_scope {
 public:
  /// `name` outlives every buffer that is allocated meanwhile: a literal. `id` tells owners of one
  /// name apart: a connection's number, a room's.
  explicit owner_scope(const char* name, std::uint64_t id = 0) noexcept;
  ~owner_scope();
  owner_scope(const owner_scope&) = delete;
  owner_scope& operator=(const owner_scope&) = delete;

 private:
  const char* outer_name_;
  std::uint64_t outer_id_;
};

}  // namespace ringpool
