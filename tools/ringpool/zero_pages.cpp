// SPDX-License-Identifier: MIT
#include "zero_pages.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace ringpool::tools {

zero_pages::zero_pages(std::size_t bytes) : bytes_(bytes) {
  memory_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory_ == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(),
                            "cannot reserve " + std::to_string(bytes) + " bytes of address space");
  }
  // A huge page would make two megabytes resident for the first element.
  ::madvise(memory_, bytes, MADV_NOHUGEPAGE);
}

zero_pages::~zero_pages() { ::munmap(memory_, bytes_); }

void zero_pages::discard() noexcept { ::madvise(memory_, bytes_, MADV_DONTNEED); }

}  // namespace ringpool::tools
