// SPDX-License-Identifier: MIT
#include "ringpool/fault_plan.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {

/// True where the plan of faults, if there is one, wants it; counted.
bool ring_buffer_pool::refuse_on_purpose(std::size_t size) noexcept {
  if (options_.faults == nullptr || !options_.faults->should_fail(buffer_size_)) {
    return false;
  }
  injected_.fetch_add(1, detail::relaxed);
  count_refusal(size);
  return true;
}

}  // namespace ringpool
