// SPDX-License-Identifier: MIT
#include "input_file.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace ringpool::tools {

input_file open_input(const std::string& path) {
  input_file result{file_handle(std::fopen(path.c_str(), "rbe")), 0};
  struct ::stat about {};
  if (result.file == nullptr || ::fstat(::fileno(result.file.get()), &about) != 0) {
    throw read_error(path + ": cannot be read: " + std::strerror(errno));
  }
  if (S_ISDIR(about.st_mode)) {
    throw read_error(path + ": cannot be read: it is a folder");
  }
  result.total_bytes = S_ISREG(about.st_mode) ? static_cast<std::uint64_t>(about.st_size) : 0;
  std::setvbuf(result.file.get(), nullptr, _IOFBF, std::size_t{1} << 18);
  return result;
}

}  // namespace ringpool::tools
