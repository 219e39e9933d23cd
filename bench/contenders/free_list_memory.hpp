// SPDX-License-Identifier: MIT
#pragma once

// The memory behind a contender that is a list of free pointers.

#include <cstddef>
#include <memory>

#include "add_contender.hpp"

namespace bench {

class free_list_memory {
 public:
  /// Calls `give(pointer)` once for each buffer.
  template <class Give>
  free_list_memory(const demand& wanted, Give give)
      : memory_(std::make_unique_for_overwrite<char[]>(wanted.bytes * wanted.count)) {
    for (std::size_t i = wanted.count; i > 0; --i) {
      give(memory_.get() + (i - 1) * wanted.bytes);
    }
  }

 private:
  std::unique_ptr<char[]> memory_;
};

}  // namespace bench
