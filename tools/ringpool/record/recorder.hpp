// SPDX-License-Identifier: MIT
#pragma once

//   loop: one allocation in N --> kept until it is given back --> block of records --full--> ring
//                                                                                             |
//   writer (a thread of its own): file <--encode-- block <------------------------------------'
//
// A loop never waits and never calls the system but to wake the writer, once a block. Where the
// writer is behind, samples are dropped and counted; where it cannot write, the recording ends and
// the server goes on.
//
// Edges
//   F1 -> W1  loop -> writer  a block is full: the writer reads its records
//   D1 -> B1  writer -> loop  a block is written: the loop fills it anew

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "../descriptor.hpp"
#include "recording_format.hpp"
#include "recording_stats.hpp"

namespace ringpool::tools {

class traffic_recording;

/// What one loop records.
///
/// Invariant: an allocation that begin() took is in one record, with the time that it was held, or
///   dropped and counted.
/// Progress: no call waits.
/// Thread-safety: one thread, the loop's.
/// Cost: a subtraction for each allocation; for one in N two looks at the clock and a short search.
class loop_recorder {
 public:
  static constexpr std::size_t most_open = 1024;
  static constexpr std::size_t block_records = 1024;
  static constexpr std::uint64_t never = ~std::uint64_t{0};

  loop_recorder(traffic_recording& home, std::uint32_t number);

  /// How many allocations there are to the next one to be sampled, it included; at random, so that
  /// no rhythm of the traffic meets that of the samples.
  [[nodiscard]] std::uint64_t next_gap() noexcept;

  /// An allocation of `bytes`, known by its key, and within that by rising positions. False: it is
  /// not kept.
  bool begin(std::uint64_t key, std::uint64_t position, std::uint32_t bytes) noexcept;
  /// One that nobody tells the end of.
  void add_unknown(std::uint32_t bytes) noexcept;
  /// Those of a key up to a position have been given back; returns how many.
  std::uint32_t end(std::uint64_t key, std::uint64_t position = never) noexcept;
  /// Hands over what there is; called about once a second.
  void flush() noexcept;
  /// What is held still is written without an end. The loop's thread has ended.
  void finish() noexcept;

 private:
  friend class traffic_recording;
  static constexpr std::uint32_t block_count = 4;
  struct block {
    std::uint32_t count = 0;
    std::uint32_t dropped = 0;
    std::array<traffic_record, block_records> records;
  };
  struct open_sample {
    std::uint64_t position;
    std::uint64_t at_ns;
    std::uint32_t bytes;
  };

  [[nodiscard]] std::uint64_t now_ns() const noexcept;
  void write(const traffic_record& record) noexcept;
  void hand_over() noexcept;

  traffic_recording& home_;
  std::uint32_t number_;
  std::uint64_t random_;
  std::size_t open_count_ = 0;
  std::uint32_t dropped_ = 0;  // since the last block
  std::unique_ptr<std::array<std::uint64_t, most_open>> keys_;
  std::unique_ptr<std::array<open_sample, most_open>> open_;
  std::unique_ptr<std::array<block, block_count>> blocks_;
  block* filling_;  // nullptr: all of them wait for the writer
  alignas(64) std::atomic<std::uint32_t> full_count_{0};
  alignas(64) std::atomic<std::uint32_t> written_count_{0};
};

/// A file of what the loops of one server sample.
///
/// Invariant: the file is a header and whole blocks, unless the process is killed inside a write.
/// Progress: loops wait for nothing; finish() for the writer.
/// Thread-safety: stats() from any thread, the rest from the one that made it.
/// Cost: a thread that sleeps until a block is full, and 200 KB a loop.
class traffic_recording {
 public:
  struct settings {
    std::string path;
    std::uint64_t limit_bytes;
    std::uint32_t one_in;
  };

  /// Throws std::system_error when the file cannot be written.
  explicit traffic_recording(const settings& chosen);
  ~traffic_recording();
  traffic_recording(const traffic_recording&) = delete;
  traffic_recording& operator=(const traffic_recording&) = delete;

  /// Before start().
  [[nodiscard]] loop_recorder& add_loop();
  void start();
  /// After the loops have ended: the rest is written.
  void finish();

  [[nodiscard]] recording_stats stats() const;

 private:
  friend class loop_recorder;
  enum class end_reason : int { none, limit, failed };

  void run() noexcept;
  void write_blocks() noexcept;
  void write_block(const loop_recorder& loop, const loop_recorder::block& one) noexcept;
  [[nodiscard]] bool write_all(const std::uint8_t* bytes, std::size_t count) noexcept;
  void stop(end_reason reason, int error = 0) noexcept;
  void wake() noexcept;
  [[nodiscard]] bool stopped() const noexcept {
    // relaxed: a loop that sees it late records a little more, for nobody
    return reason_.load(std::memory_order_relaxed) != end_reason::none;
  }

  settings settings_;
  descriptor file_;
  std::chrono::steady_clock::time_point begin_;
  std::vector<std::unique_ptr<loop_recorder>> loops_;
  std::unique_ptr<std::vector<std::uint8_t>> encoded_;
  std::thread writer_;
  std::atomic<std::uint32_t> signal_{0};  // raised for each block, and for the end
  std::atomic<bool> ending_{false};
  std::atomic<end_reason> reason_{end_reason::none};
  std::atomic<int> error_{0};
  std::atomic<std::uint64_t> samples_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace ringpool::tools
