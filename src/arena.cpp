// SPDX-License-Identifier: MIT
#include "ringpool/arena.hpp"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "ringpool/config.hpp"

namespace ringpool {
namespace {

#ifndef MADV_POPULATE_WRITE
constexpr int MADV_POPULATE_WRITE = 23;  // Linux 5.14; older headers lack it
#endif

/// Makes pages resident and writable. False with errno set when the kernel cannot.
bool populate(std::byte* start, std::size_t bytes) {
  if (::madvise(start, bytes, MADV_POPULATE_WRITE) == 0) {
    return true;
  }
  if (errno != EINVAL) {
    return false;
  }
  for (std::size_t offset = 0; offset < bytes; offset += arena::page_bytes()) {  // before 5.14
    volatile std::byte& first = start[offset];
    first = first;
  }
  return true;
}

/// Bytes of [start, start + bytes) on huge pages, by /proc/self/smaps (proc(5)).
std::size_t huge_bytes_in(const std::byte* start, std::size_t bytes) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> smaps(std::fopen("/proc/self/smaps", "re"),
                                                              &std::fclose);
  const auto begin = reinterpret_cast<std::uintptr_t>(start);
  std::size_t total = 0;
  bool inside = false;
  char line[512];
  while (smaps && std::fgets(line, sizeof line, smaps.get()) != nullptr) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    std::size_t kib = 0;
    if (std::sscanf(line, "%lx-%lx ", &from, &to) == 2) {
      inside = from < begin + bytes && begin < to;
    } else if (inside && (std::sscanf(line, "AnonHugePages: %zu kB", &kib) == 1 ||
                          std::sscanf(line, "Private_Hugetlb: %zu kB", &kib) == 1)) {
      total += kib * 1024;
    }
  }
  return std::min(total, bytes);
}

/// strerror(3) for several threads, without heap (glibc 2.32).
const char* error_text(int error) {
  const char* const text = ::strerrordesc_np(error);
  return text != nullptr ? text : "unknown error";
}

detail::failure bind_to_node(std::byte* start, std::size_t bytes, int node) {
  unsigned long mask[16] = {};
  constexpr int bits = static_cast<int>(sizeof(unsigned long) * 8);
  if (node >= bits * 16) {
    return detail::fail(errc::numa_failed, "numa_node %d: accepted are -1 to 1023", node);
  }
  mask[node / bits] = 1UL << (node % bits);
  if (::syscall(SYS_mbind, start, bytes, MPOL_BIND, mask, sizeof mask * 8, 0U) != 0) {
    return detail::fail(errc::numa_failed, "numa_node %d cannot be used: %s", node,
                        error_text(errno));
  }
  return {};
}

/// Maps [start, start + bytes) anew. MAP_FIXED drops what was there even when it then fails.
bool map_over(std::byte* start, std::size_t bytes, int further_flags) {
  return ::mmap(start, bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | further_flags, -1, 0) != MAP_FAILED;
}

}  // namespace

arena::~arena() {
  if (mapping_ != nullptr) {
    ::munmap(mapping_, mapping_bytes_);
  }
}

std::size_t arena::page_bytes() noexcept {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

detail::failure arena::reserve(std::size_t bytes) {
  const std::size_t with_slack = bytes + huge_page_bytes;
  const bool overflows = with_slack < bytes;
  void* mapping = overflows ? MAP_FAILED
                            : ::mmap(nullptr, with_slack, PROT_NONE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    return detail::fail(errc::reservation_failed,
                        "cannot reserve %zu bytes of address space, for buffers and the caches of "
                        "%u threads a class (less capacity, or a higher RLIMIT_AS): %s",
                        bytes, detail::max_thread_slots, error_text(overflows ? ENOMEM : errno));
  }
  mapping_ = mapping;
  mapping_bytes_ = with_slack;
  const auto address = reinterpret_cast<std::uintptr_t>(mapping);
  const std::uintptr_t aligned = (address + huge_page_bytes - 1) & ~(huge_page_bytes - 1);
  data_ = static_cast<std::byte*>(mapping) + (aligned - address);
  size_bytes_ = bytes;
  return {};
}

detail::failure arena::commit(std::size_t offset, std::size_t bytes) {
  if (::mprotect(data_ + offset, bytes, PROT_READ | PROT_WRITE) != 0) {
    return detail::fail(errc::commit_failed, "cannot commit %zu bytes: %s", bytes,
                        error_text(errno));
  }
  // Sparse parts are touched in small places; prepare() asks for huge pages where they are wanted.
  ::madvise(data_ + offset, bytes, MADV_NOHUGEPAGE);
  return {};
}

/// Lays the pages that `options` ask for, or the next best.
detail::failure arena::lay_pages(std::byte* start, std::size_t bytes, const memory_options& options,
                                 huge_pages& got) {
  got = huge_pages::none;
  if (options.pages == huge_pages::reserved && bytes % huge_page_bytes == 0) {
    if (map_over(start, bytes, MAP_HUGETLB | (21 << MAP_HUGE_SHIFT))) {
      got = huge_pages::reserved;
      return {};
    }
    if (!map_over(start, bytes, MAP_NORESERVE)) {
      return detail::fail(errc::commit_failed, "cannot commit %zu bytes: %s", bytes,
                          error_text(errno));
    }
  }
  if (options.pages != huge_pages::none && ::madvise(start, bytes, MADV_HUGEPAGE) == 0) {
    got = huge_pages::transparent;
  }
  return {};
}

detail::failure arena::prepare(std::size_t offset, std::size_t bytes, const memory_options& options,
                               memory_report& report) {
  std::byte* const start = data_ + offset;
  if (detail::failure why = lay_pages(start, bytes, options, report.pages); why.failed()) {
    return why;
  }
  if (options.numa_node >= 0) {  // before the first touch
    if (detail::failure why = bind_to_node(start, bytes, options.numa_node); why.failed()) {
      return why;
    }
    report.numa_node = options.numa_node;
  }
  // Reserved huge pages are populated always: only MADV_POPULATE_WRITE reports a shortage (of the
  // node, of the control group) as an error where a touch would raise SIGBUS.
  if (report.pages == huge_pages::reserved && ::madvise(start, bytes, MADV_POPULATE_WRITE) != 0) {
    memory_options next_best = options;
    next_best.pages = huge_pages::transparent;
    if (!map_over(start, bytes, MAP_NORESERVE)) {
      return detail::fail(errc::commit_failed, "cannot commit %zu bytes: %s", bytes,
                          error_text(errno));
    }
    return prepare(offset, bytes, next_best, report);
  }
  return make_resident(start, bytes, options, report);
}

detail::failure arena::make_resident(std::byte* start, std::size_t bytes,
                                     const memory_options& options, memory_report& report) {
  const bool resident = options.prefault || options.lock || report.pages == huge_pages::reserved;
  if (resident && !populate(start, bytes)) {
    return detail::fail(errc::commit_failed, "cannot make %zu bytes resident: %s", bytes,
                        error_text(errno));
  }
  if (options.lock && ::mlock(start, bytes) != 0) {
    return detail::fail(errc::lock_failed,
                        "cannot lock %zu bytes (a higher RLIMIT_MEMLOCK is needed): %s", bytes,
                        error_text(errno));
  }
  report.resident_bytes += resident ? bytes : 0;
  report.locked_bytes += options.lock ? bytes : 0;
  report.huge_page_bytes +=
      resident && report.pages != huge_pages::none ? huge_bytes_in(start, bytes) : 0;
  return {};
}

void arena::discard(std::byte* start, std::size_t bytes) noexcept {
  ::madvise(start, bytes, MADV_DONTNEED);
}

}  // namespace ringpool
