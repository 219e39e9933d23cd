// SPDX-License-Identifier: MIT
#include <array>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "../record/recording_format.hpp"
#include "../report.hpp"
#include "input_file.hpp"
#include "readers.hpp"
#include "sample_sink.hpp"

namespace ringpool::tools {
namespace {

namespace format = recording_format;

constexpr const char* accepted_recording = "what `ringpool serve --record FILE` wrote";

class recording_reader {
 public:
  explicit recording_reader(const read_options& options)
      : options_(options),
        input_(open_input(options.path)),
        progress_(options, input_.total_bytes) {}

  traffic read() {
    read_header();
    while (read_block()) {
      progress_.at(offset_);
    }
    progress_.end();
    if (sink_.empty()) {
      throw read_error(fmt::format(
          "{}: a recording without samples: nothing was allocated, or the server was killed within "
          "a second; accepted: one or more",
          options_.path));
    }
    const std::uint64_t found = sink_.added();
    traffic result = sink_.finish(true);
    result.source = fmt::format("{}: {} samples, one in {}", options_.path, format_count(found),
                                format_count(one_in_));
    return result;
  }

 private:
  [[noreturn]] void fail(std::uint64_t offset, std::string_view what) {
    throw read_error(fmt::format("{}, byte {}: {}; accepted: {}", options_.path, offset, what,
                                 accepted_recording));
  }

  /// How many of the next `count` bytes there are.
  std::size_t take(std::uint8_t* out, std::size_t count) {
    const std::size_t taken = std::fread(out, 1, count, input_.file.get());
    offset_ += taken;
    return taken;
  }

  void read_header() {
    std::array<std::uint8_t, format::header_bytes> bytes{};
    const std::size_t taken = take(bytes.data(), bytes.size());
    if (taken < format::magic.size() ||
        std::memcmp(bytes.data(), format::magic.data(), format::magic.size()) != 0) {
      fail(0, "not a recording");
    }
    if (taken < bytes.size()) {
      fail(taken, "it ends inside its header");
    }
    const auto version = format::load<std::uint32_t>(&bytes[8]);
    if (version != format::version) {
      throw read_error(fmt::format("{}, byte 8: version {} of the format; accepted: {}",
                                   options_.path, version, format::version));
    }
    one_in_ = format::load<std::uint32_t>(&bytes[12]);
    const auto record_bytes = format::load<std::uint32_t>(&bytes[24]);
    if (one_in_ == 0 || record_bytes != format::record_bytes) {
      fail(one_in_ == 0 ? 12 : 24, "a damaged header");
    }
  }

  /// False at the end of the file.
  bool read_block() {
    const std::uint64_t begin = offset_;
    std::array<std::uint8_t, format::block_header_bytes> header{};
    const std::size_t taken = take(header.data(), header.size());
    if (taken == 0) {
      return false;
    }
    if (taken < header.size()) {
      return end_early();
    }
    const auto count = format::load<std::uint32_t>(&header[8]);
    if (format::load<std::uint32_t>(header.data()) != format::block_mark ||
        count > format::most_records_in_block) {
      fail(begin, "no block of records begins here: the file is damaged");
    }
    sink_.count("samples that the server had no room for",
                format::load<std::uint32_t>(&header[12]));
    records_.resize(count * format::record_bytes);
    const std::size_t bytes = take(records_.data(), records_.size());
    for (std::size_t at = 0; at + format::record_bytes <= bytes; at += format::record_bytes) {
      add(format::load_record(&records_[at]), begin + header.size() + at);
    }
    return bytes == records_.size() || end_early();
  }

  bool end_early() {
    sink_.count("the recording ends inside a block, as when its server is killed; read up to byte",
                offset_);
    return false;
  }

  void add(const traffic_record& record, std::uint64_t offset) {
    const bool held = record.held_ns != traffic_record::unknown;
    if (record.bytes == 0 || record.bytes > most_sample_bytes || record.weight == 0 ||
        record.at_ns > longest_time_ns || (held && record.held_ns > longest_time_ns)) {
      fail(offset, "a record that no server writes: the file is damaged");
    }
    sink_.add({.at_ns = static_cast<std::int64_t>(record.at_ns),
               .held_ns = held ? static_cast<std::int64_t>(record.held_ns) : -1,
               .bytes = record.bytes,
               .weight = record.weight});
  }

  const read_options& options_;
  input_file input_;
  input_progress progress_;
  sample_sink sink_;
  std::vector<std::uint8_t> records_;
  std::uint64_t offset_ = 0;
  std::uint32_t one_in_ = 1;
};

}  // namespace

traffic read_recording(const read_options& options) { return recording_reader(options).read(); }

}  // namespace ringpool::tools
