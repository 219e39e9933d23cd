// SPDX-License-Identifier: MIT
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <string_view>

namespace ringpool::test {

/// A file with some content, as long as it lives.
class temporary_file {
 public:
  explicit temporary_file(std::string_view content = {}) {
    const int fd = ::mkstemp(path_.data());
    ::close(fd);
    std::ofstream(path_, std::ios::binary).write(content.data(), static_cast<long>(content.size()));
  }
  ~temporary_file() { ::unlink(path_.c_str()); }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/ringpool-test-XXXXXX";
};

}  // namespace ringpool::test
