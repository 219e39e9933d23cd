// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>

#include "readers.hpp"

namespace ringpool::tools {

/// Of what a file may say of one sample; beyond these it is damaged.
inline constexpr std::uint32_t most_sample_bytes = 1U << 30;
inline constexpr std::uint64_t longest_time_ns = std::uint64_t{1} << 62;

struct file_closer {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using file_handle = std::unique_ptr<std::FILE, file_closer>;

struct input_file {
  file_handle file;
  std::uint64_t total_bytes = 0;  ///< 0: unknown
};

/// Throws read_error that says why it cannot be read. A folder cannot.
[[nodiscard]] input_file open_input(const std::string& path);

/// Tells a reader's progress, a few hundred times at most.
class input_progress {
 public:
  input_progress(const read_options& options, std::uint64_t total_bytes)
      : options_(options), total_(total_bytes), step_(total_bytes / 200 + 1) {}

  void at(std::uint64_t done_bytes) {
    if (done_bytes >= next_) {
      tell(done_bytes);
    }
  }
  void end() { tell(total_); }

 private:
  void tell(std::uint64_t done_bytes) {
    next_ = done_bytes + step_;
    if (options_.progress && total_ != 0) {
      options_.progress(done_bytes < total_ ? done_bytes : total_, total_);
    }
  }

  const read_options& options_;
  std::uint64_t total_;
  std::uint64_t step_;
  std::uint64_t next_ = 0;
};

}  // namespace ringpool::tools
