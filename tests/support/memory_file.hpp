// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace ringpool::test {

/// A file with some content and a path, on no disk, as long as it lives.
class memory_file {
 public:
  explicit memory_file(std::string_view content = {})
      : fd_(::memfd_create("ringpool-test", MFD_CLOEXEC)),
        path_("/proc/self/fd/" + std::to_string(fd_)) {
    if (fd_ < 0 ||
        ::write(fd_, content.data(), content.size()) != static_cast<::ssize_t>(content.size())) {
      throw std::system_error(errno, std::generic_category(), "a file in memory");
    }
  }
  ~memory_file() { ::close(fd_); }
  memory_file(const memory_file&) = delete;
  memory_file& operator=(const memory_file&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

}  // namespace ringpool::test
