// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "ringpool/error.hpp"

namespace ringpool::test {

/// While it lives, misuse is recorded and the misused call returns; then the handler before is
/// back. One at a time.
class misuse_recorder {
 public:
  misuse_recorder() : before_(set_misuse_handler(&record)) {
    const std::lock_guard lock(mutex());
    records().clear();
  }
  ~misuse_recorder() { set_misuse_handler(before_); }
  misuse_recorder(const misuse_recorder&) = delete;
  misuse_recorder& operator=(const misuse_recorder&) = delete;

  [[nodiscard]] std::size_t count() const {
    const std::lock_guard lock(mutex());
    return records().size();
  }
  [[nodiscard]] misuse last() const {
    const std::lock_guard lock(mutex());
    return records().empty() ? misuse{} : records().back();
  }
  /// How many of them were of one kind.
  [[nodiscard]] std::size_t count(misuse_kind kind) const {
    const std::lock_guard lock(mutex());
    std::size_t found = 0;
    for (const misuse& one : records()) {
      found += one.kind == kind ? 1 : 0;
    }
    return found;
  }

 private:
  static void record(const misuse& what) noexcept {
    const std::lock_guard lock(mutex());
    records().push_back(what);
  }
  static std::mutex& mutex() {
    static std::mutex instance;
    return instance;
  }
  static std::vector<misuse>& records() {
    static std::vector<misuse> instance;
    return instance;
  }

  misuse_handler before_;
};

}  // namespace ringpool::test
