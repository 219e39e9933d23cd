// SPDX-License-Identifier: MIT
#include "recorder.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace ringpool::tools {
namespace {

namespace format = recording_format;

std::uint64_t unix_time_ns() noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

/// Not of a pipe or a socket: open(2) waits for its reader, and so would the writer.
descriptor open_record(const std::string& path) {
  // O_NONBLOCK changes nothing for files and devices.
  descriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0644));
  struct ::stat about {};
  const bool is_pipe = file ? ::fstat(file.get(), &about) == 0 &&
                                  (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode))
                            : errno == ENXIO;  // a pipe that nobody reads
  if (is_pipe) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                            "cannot record to " + path + ", a pipe or socket (accepted: a file)");
  }
  return file;
}

}  // namespace

// --- a loop ---

loop_recorder::loop_recorder(traffic_recording& home, std::uint32_t number)
    : home_(home),
      number_(number),
      random_((number + 1) * 0x9e3779b97f4a7c15U),
      keys_(std::make_unique<std::array<std::uint64_t, most_open>>()),
      open_(std::make_unique<std::array<open_sample, most_open>>()),
      blocks_(std::make_unique<std::array<block, block_count>>()),
      filling_(&(*blocks_)[0]) {}

std::uint64_t loop_recorder::next_gap() noexcept {
  if (home_.stopped()) {
    return never;
  }
  random_ ^= random_ << 13;  // Marsaglia, Xorshift RNGs, 2003
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return 1 + random_ % (2 * std::uint64_t{home_.settings_.one_in} - 1);
}

std::uint64_t loop_recorder::now_ns() const noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now() - home_.begin_)
                                        .count());
}

bool loop_recorder::begin(std::uint64_t key, std::uint64_t position, std::uint32_t bytes) noexcept {
  if (open_count_ == most_open) {
    ++dropped_;
    return false;
  }
  (*keys_)[open_count_] = key;
  (*open_)[open_count_] = {position, now_ns(), bytes};
  ++open_count_;
  return true;
}

void loop_recorder::add_unknown(std::uint32_t bytes) noexcept {
  write({now_ns(), traffic_record::unknown, bytes, home_.settings_.one_in});
}

std::uint32_t loop_recorder::end(std::uint64_t key, std::uint64_t position) noexcept {
  const std::uint64_t now = now_ns();
  std::uint32_t ended = 0;
  for (std::size_t i = 0; i < open_count_;) {
    const open_sample one = (*open_)[i];
    if ((*keys_)[i] != key || one.position > position) {
      ++i;
      continue;
    }
    write({one.at_ns, now - one.at_ns, one.bytes, home_.settings_.one_in});
    ++ended;
    --open_count_;
    (*keys_)[i] = (*keys_)[open_count_];
    (*open_)[i] = (*open_)[open_count_];
  }
  return ended;
}

void loop_recorder::write(const traffic_record& record) noexcept {
  if (filling_ == nullptr) {
    const std::uint32_t full = full_count_.load(std::memory_order_relaxed);  // only this loop's
    // B1 <- D1
    if (full - written_count_.load(std::memory_order_acquire) == block_count) {
      ++dropped_;
      return;
    }
    filling_ = &(*blocks_)[full % block_count];
    filling_->count = 0;
  }
  filling_->records[filling_->count++] = record;
  if (filling_->count == block_records) {
    hand_over();
  }
}

void loop_recorder::hand_over() noexcept {
  filling_->dropped = std::exchange(dropped_, 0);
  filling_ = nullptr;
  const std::uint32_t full = full_count_.load(std::memory_order_relaxed);  // only this loop's
  // F1 -> W1 (write_blocks): the block's records are there
  full_count_.store(full + 1, std::memory_order_release);
  home_.wake();
}

void loop_recorder::flush() noexcept {
  if (filling_ != nullptr && filling_->count != 0) {
    hand_over();
  }
}

void loop_recorder::finish() noexcept {
  for (std::size_t i = 0; i < open_count_; ++i) {
    const open_sample& one = (*open_)[i];
    write({one.at_ns, traffic_record::unknown, one.bytes, home_.settings_.one_in});
  }
  open_count_ = 0;
  flush();
}

// --- the file ---

traffic_recording::traffic_recording(const settings& chosen)
    : settings_(chosen),
      begin_(std::chrono::steady_clock::now()),
      encoded_(std::make_unique<std::vector<std::uint8_t>>(
          format::block_header_bytes + loop_recorder::block_records * format::record_bytes)) {
  file_ = open_record(chosen.path);
  std::array<std::uint8_t, format::header_bytes> header{};
  std::copy(format::magic.begin(), format::magic.end(), header.begin());
  format::store(&header[8], format::version);
  format::store(&header[12], chosen.one_in);
  format::store(&header[16], unix_time_ns());
  format::store(&header[24], static_cast<std::uint32_t>(format::record_bytes));
  if (!file_ || !write_all(header.data(), header.size())) {
    throw std::system_error(errno, std::generic_category(), "cannot record to " + chosen.path);
  }
  bytes_.store(header.size(), std::memory_order_relaxed);
}

traffic_recording::~traffic_recording() { finish(); }

loop_recorder& traffic_recording::add_loop() {
  const auto number = static_cast<std::uint32_t>(loops_.size());
  loops_.push_back(std::make_unique<loop_recorder>(*this, number));
  return *loops_.back();
}

void traffic_recording::start() {
  ::sigset_t all;
  ::sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // a file that may grow no more is an error
  try {
    writer_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw std::system_error(error.code(), "cannot start the thread that records");
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void traffic_recording::finish() {
  if (!writer_.joinable()) {
    return;
  }
  for (const auto& loop : loops_) {
    loop->finish();
  }
  ending_.store(true, std::memory_order_relaxed);
  wake();
  writer_.join();
}

void traffic_recording::wake() noexcept {
  // relaxed: what the writer then reads has edges of its own
  signal_.fetch_add(1, std::memory_order_relaxed);
  signal_.notify_one();
}

void traffic_recording::run() noexcept {
  for (;;) {
    const std::uint32_t seen = signal_.load(std::memory_order_relaxed);
    const bool ending = ending_.load(std::memory_order_relaxed);
    write_blocks();
    if (ending) {
      return;
    }
    signal_.wait(seen, std::memory_order_relaxed);
  }
}

void traffic_recording::write_blocks() noexcept {
  for (const auto& loop : loops_) {
    std::uint32_t written = loop->written_count_.load(std::memory_order_relaxed);  // only ours
    // W1 <- F1
    while (written != loop->full_count_.load(std::memory_order_acquire)) {
      write_block(*loop, (*loop->blocks_)[written % loop_recorder::block_count]);
      // D1 -> B1 (write): the writer has read the block
      loop->written_count_.store(++written, std::memory_order_release);
    }
  }
}

void traffic_recording::write_block(const loop_recorder& loop,
                                    const loop_recorder::block& one) noexcept {
  const std::uint64_t before = bytes_.load(std::memory_order_relaxed);
  const std::size_t size = format::block_header_bytes + one.count * format::record_bytes;
  if (!stopped() && before + size > settings_.limit_bytes) {
    stop(end_reason::limit);
  }
  // relaxed, as all of these: one writer, and readers take a snapshot
  const std::uint64_t dropped = one.dropped + (stopped() ? one.count : 0);
  dropped_.store(dropped_.load(std::memory_order_relaxed) + dropped, std::memory_order_relaxed);
  if (stopped()) {
    return;
  }
  std::uint8_t* out = encoded_->data();
  format::store(out, format::block_mark);
  format::store(out + 4, loop.number_);
  format::store(out + 8, one.count);
  format::store(out + 12, one.dropped);
  out += format::block_header_bytes;
  for (std::uint32_t i = 0; i < one.count; ++i, out += format::record_bytes) {
    format::store_record(out, one.records[i]);
  }
  if (!write_all(encoded_->data(), size)) {
    const int error = errno;
    static_cast<void>(::ftruncate(file_.get(), static_cast<::off_t>(before)));  // to whole blocks
    stop(end_reason::failed, error);
    return;
  }
  bytes_.store(before + size, std::memory_order_relaxed);
  samples_.store(samples_.load(std::memory_order_relaxed) + one.count, std::memory_order_relaxed);
}

bool traffic_recording::write_all(const std::uint8_t* bytes, std::size_t count) noexcept {
  while (count != 0) {
    const ::ssize_t written = ::write(file_.get(), bytes, count);
    if (written < 0 && errno != EINTR) {
      return false;
    }
    const auto step = static_cast<std::size_t>(std::max<::ssize_t>(0, written));
    bytes += step;
    count -= step;
  }
  return true;
}

void traffic_recording::stop(end_reason reason, int error) noexcept {
  error_.store(error, std::memory_order_relaxed);
  // S1: released, so that whoever sees the reason sees the error
  reason_.store(reason, std::memory_order_release);
}

recording_stats traffic_recording::stats() const {
  recording_stats result{.one_in = settings_.one_in,
                         .samples = samples_.load(std::memory_order_relaxed),
                         .dropped = dropped_.load(std::memory_order_relaxed),
                         .bytes = bytes_.load(std::memory_order_relaxed),
                         .stopped = {}};
  switch (reason_.load(std::memory_order_acquire)) {
    case end_reason::none: break;
    case end_reason::limit: result.stopped = "the file has reached its limit"; break;
    case end_reason::failed:
      result.stopped = std::string("it cannot be written: ") +
                       std::generic_category().message(error_.load(std::memory_order_relaxed));
      break;
  }
  return result;
}

}  // namespace ringpool::tools
