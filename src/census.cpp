// SPDX-License-Identifier: MIT
#include "ringpool/census.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "ringpool/detail/symbol.hpp"

// Edges (release -> acquire):
//   R1 -> A1  set_leak_handler -> report_leak   what the handler works on

namespace ringpool {
namespace {

constexpr std::size_t shown_holders = 16;

// ---- Text ---------------------------------------------------------------------------------------

/// 1234567 as 1,234,567.
std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string duration(std::int64_t ms) {
  char text[32];
  if (ms < 1000) {
    std::snprintf(text, sizeof text, "%lld ms", static_cast<long long>(ms));
  } else if (ms < 600'000) {
    std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(ms) / 1000);
  } else {
    std::snprintf(text, sizeof text, "%lld min", static_cast<long long>(ms / 60'000));
  }
  return text;
}

std::string owner_of(const holder& one) {
  if (one.owner == nullptr) {
    return {};
  }
  return one.owner_id == 0 ? std::string(one.owner)
                           : std::string(one.owner) + ' ' + std::to_string(one.owner_id);
}

std::string line_of(const holder& one) {
  const std::string newest = duration(one.newest_ms);
  const std::string oldest = duration(one.oldest_ms);
  std::string line = "  ~" + grouped(one.held_count) + " held for " + newest;
  if (newest != oldest) {
    line += " to " + oldest;
  }
  line += ", " + grouped(one.size_bytes) + " bytes: ";
  if (const std::string owner = owner_of(one); !owner.empty()) {
    line += owner + ": ";
  }
  for (std::size_t i = 0; i < one.frames.size(); ++i) {
    line += (i == 0 ? "" : " < ") + symbol_of(one.frames[i]);
  }
  return line + '\n';
}

// ---- Counting -----------------------------------------------------------------------------------

bool same_holder(const holder& one, const detail::sample& seen) {
  return one.owner == seen.owner && one.owner_id == seen.owner_id &&
         std::equal(one.frames.begin(), one.frames.end(), seen.frames.begin(),
                    seen.frames.begin() + seen.depth);
}

void add_sample(census& to, const detail::sample& seen, std::int64_t now_ms) {
  auto found = std::find_if(to.holders.begin(), to.holders.end(),
                            [&](const holder& one) { return same_holder(one, seen); });
  const std::int64_t age_ms = std::max<std::int64_t>(now_ms - seen.since_ms, 0);
  if (found == to.holders.end()) {
    found = to.holders.insert(found, holder{});
    found->frames.assign(seen.frames.begin(), seen.frames.begin() + seen.depth);
    found->owner = seen.owner;
    found->owner_id = seen.owner_id;
    found->newest_ms = age_ms;
    found->thread_id = seen.thread_id;
  }
  if (age_ms > found->oldest_ms) {
    found->oldest_ms = age_ms;
    found->thread_id = seen.thread_id;
  }
  found->newest_ms = std::min(found->newest_ms, age_ms);
  found->size_bytes += seen.size;
  ++found->sample_count;
  ++to.sample_count;
}

std::atomic<leak_handler> current_leak_handler{nullptr};

void write_to_standard_error(const leak& what) noexcept {
  const std::string text =
      "ringpool: destroyed while buffers are held\n" + dump_outstanding(*what.pool);
  std::string_view left = text;
  while (!left.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, left.data(), left.size());
    if (written <= 0) {
      return;
    }
    left.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

census take_census(const ring_buffer_pool& pool) {
  const pool_stats stats = pool.stats();
  census now;
  now.buffer_size = pool.buffer_size();
  now.held_count = stats.in_use + stats.elastic_in_use;
  now.alloc_count = stats.alloc_count - stats.upstream_alloc_count;
  struct counting {
    census& to;
    std::int64_t now_ms;
  } context{now, detail::sample_clock_ms()};
  pool.each_sample(
      [](void* of, const detail::sample& seen) {
        auto& at = *static_cast<counting*>(of);
        add_sample(at.to, seen, at.now_ms);
      },
      &context);
  if (const detail::sample_totals* totals = pool.samples(); totals != nullptr) {
    now.sampled_allocs = totals->taken.load(detail::relaxed);
    for (const auto& count : totals->ages) {
      now.ages.push_back(count.load(detail::relaxed));
    }
  }
  const double weight = now.weight();
  for (holder& one : now.holders) {
    one.held_count = static_cast<std::uint64_t>(static_cast<double>(one.sample_count) * weight);
    one.size_bytes = static_cast<std::uint64_t>(static_cast<double>(one.size_bytes) * weight);
  }
  std::sort(now.holders.begin(), now.holders.end(),
            [](const holder& a, const holder& b) { return a.sample_count > b.sample_count; });
  return now;
}

std::vector<census> take_census(const multi_size_ring_pool& pool) {
  std::vector<census> all;
  for (const ring_buffer_pool& one : pool.classes()) {
    all.push_back(take_census(one));
  }
  return all;
}

std::string to_text(const census& of) {
  std::string text = "class " + std::to_string(of.buffer_size) + ": " + grouped(of.held_count) +
                     " held, " + grouped(of.sample_count) + " of them sampled\n";
  for (std::size_t i = 0; i < std::min(of.holders.size(), shown_holders); ++i) {
    text += line_of(of.holders[i]);
  }
  if (of.holders.size() > shown_holders) {
    text += "  and " + std::to_string(of.holders.size() - shown_holders) + " holders more\n";
  }
  return text;
}

std::string dump_outstanding(const ring_buffer_pool& pool) { return to_text(take_census(pool)); }

std::string dump_outstanding(const multi_size_ring_pool& pool) {
  std::string text;
  for (const census& one : take_census(pool)) {
    text += to_text(one);
  }
  return text;
}

std::string folded_stacks(const census& of) {
  std::string lines;
  for (const holder& one : of.holders) {
    const std::string owner = owner_of(one);
    std::string line = owner.empty() ? "" : owner + ';';
    line += "class " + std::to_string(of.buffer_size);
    for (auto frame = one.frames.rbegin(); frame != one.frames.rend(); ++frame) {
      line += ';' + symbol_of(*frame);
    }
    lines += line + ' ' + std::to_string(one.held_count) + '\n';
  }
  return lines;
}

std::string symbol_of(const void* address) {
  ::Dl_info found{};
  if (::dladdr(address, &found) != 0 && found.dli_sname != nullptr) {
    const std::unique_ptr<char, void (*)(void*)> name(
        abi::__cxa_demangle(found.dli_sname, nullptr, nullptr, nullptr), &std::free);
    if (name != nullptr) {
      char offset[24];
      std::snprintf(offset, sizeof offset, "+0x%zx",
                    static_cast<std::size_t>(static_cast<const char*>(address) -
                                             static_cast<const char*>(found.dli_saddr)));
      return std::string(name.get()) + offset;
    }
  }
  char text[256];
  return {text, detail::write_symbol(address, text)};
}

leak_handler set_leak_handler(leak_handler handler) noexcept {
  // R1 -> A1 (report_leak): what the caller prepared for its handler is there when it runs
  return current_leak_handler.exchange(handler, detail::acq_rel);
}

void detail::report_leak(const ring_buffer_pool& pool, std::uint64_t count) noexcept {
  const leak_handler chosen = current_leak_handler.load(acquire);  // A1 <- R1
  (chosen != nullptr ? chosen : &write_to_standard_error)({&pool, count});
}

}  // namespace ringpool
