// SPDX-License-Identifier: MIT
#include <algorithm>

#include <fmt/format.h>

#include "advice.hpp"

namespace ringpool::tools {
namespace {

constexpr std::size_t comment_width = 98;
constexpr char glue = '\x01';

/// `text` as comments, of whatever characters it is.
std::string commented(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char one) { return static_cast<unsigned char>(one) < ' ' || one == '\x7f'; }, ' ');
  // "12 %" stays on one line.
  for (std::size_t at = 0; (at = text.find(" %", at)) != std::string::npos;) {
    text[at] = glue;
  }
  std::string lines = wrap_text(text, comment_width, 2);
  std::replace(lines.begin(), lines.end(), glue, ' ');
  for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
    lines[at] = '#';
  }
  return lines;
}

std::string class_reason(const advice& given, std::size_t number) {
  const set_forecast& set = given.advised.expected;
  const class_forecast& one = set.classes[number];
  const std::uint32_t above = number == 0 ? 0 : set.classes[number - 1].setting.buffer_size;
  const class_load& load = one.load;
  std::string reason = fmt::format(
      "{} to {} bytes: {} of the allocations; wasted of the buffers' bytes: {}. Held: {:.1f} on "
      "average, {} at most.",
      above + 1, one.setting.buffer_size,
      format_share(load.allocations / given.wanted.sizes.allocations()),
      format_share(one.wasted_share), load.mean_held, format_count(load.peak()));
  if (load.peak_error() > 0) {
    reason += fmt::format(" That is from samples: give or take {:.0f}.", load.peak_error());
  }
  reason += one.fallback_share > 0
                ? fmt::format(" {} find the ring empty.", format_share(one.fallback_share))
                : " The ring serves them all.";
  return reason;
}

}  // namespace

std::string advice_toml(const advice& given) {
  const set_forecast& set = given.advised.expected;
  std::string text = "# SPDX-License-Identifier: MIT\n";
  text += commented("Size classes for `ringpool serve --config`, by `ringpool advise`, from " +
                    given.source + ".");
  text +=
      commented(fmt::format("Wasted of their bytes: {}, {} at a time on average; of those they "
                            "were compared with: {}, {}.",
                            format_share(set.wasted_share), format_bytes(set.wasted_bytes),
                            format_share(given.today.expected.wasted_share),
                            format_bytes(given.today.expected.wasted_bytes)));
  text +=
      commented(fmt::format("{} are resident once every class has had its peak (prefault); rings "
                            "and elastic buffers take {} of "
                            "address space.",
                            format_bytes(static_cast<double>(set.resident_bytes)),
                            format_bytes(static_cast<double>(set.reserved_bytes))));
  text +=
      commented(fmt::format("Each ring serves all but {} of its class's allocations, times {:g}, "
                            "rounded up to a power of "
                            "two; elastic buffers reach from there to {:g} times the most held.",
                            format_share(given.capacities.exhaustion), given.capacities.headroom,
                            given.capacities.headroom));
  for (const std::string& line : given.assumptions) {
    text += commented("Assumed: " + line);
  }
  constexpr std::uint64_t least_budget = std::uint64_t{16} << 20;
  const std::uint64_t budget =
      std::max<std::uint64_t>(least_budget, std::uint64_t{16} * given.wanted.sizes.max_bytes());
  text += "\n[pool]\n";
  text += commented(
      "For what is larger than any class, and for more at once than was ever seen: from the heap.");
  text += fmt::format("upstream_budget_bytes = {}\n", budget);
  for (std::size_t i = 0; i < set.classes.size(); ++i) {
    const class_setting& one = set.classes[i].setting;
    text += '\n' + commented(class_reason(given, i));
    text += fmt::format("[[pool.class]]\nbuffer_size = {}\ncapacity = {}\nelastic_capacity = {}\n",
                        one.buffer_size, one.capacity, one.elastic_capacity);
  }
  return text;
}

}  // namespace ringpool::tools
