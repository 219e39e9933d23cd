// SPDX-License-Identifier: MIT
#pragma once

// A stream of frames, cut into pieces of any size and fed to a decoder whose source refuses now and
// then, or received where the decoder has room, or in buffers that it goes on in; and what a
// decoder of plain arithmetic makes of the whole stream. Decoders and callers with a seeded bug
// stand beside.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ringpool/codec/frame.hpp"
#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool::test {

using bytes = std::vector<std::byte>;
constexpr std::uint32_t max_frame = 600;

/// What became of a stream. `broken`: the first promise that the decoder did not keep.
struct outcome {
  std::vector<bytes> frames;
  bool failed = false;
  std::string broken{};
  friend bool operator==(const outcome&, const outcome&) = default;
  friend std::ostream& operator<<(std::ostream& out, const outcome& shown) {
    return out << shown.frames.size() << " frames, " << (shown.failed ? "failed" : "no failure")
               << (shown.broken.empty() ? "" : "; ") << shown.broken;
  }
};

struct stream_case {
  bytes stream;
  std::vector<std::size_t> pieces;   // sizes, used round and round
  std::vector<bool> refusals;        // of the source, used round and round
  std::vector<std::uint8_t> ways{};  // in which bytes are given, used round and round: see give()
};

inline std::ostream& operator<<(std::ostream& out, const stream_case& shown) {
  out << "stream of " << shown.stream.size() << " bytes:";
  for (const std::byte byte : shown.stream) {
    out << ' ' << std::to_integer<int>(byte);
  }
  out << "; pieces:";
  for (const std::size_t size : shown.pieces) {
    out << ' ' << size;
  }
  out << "; refusals:";
  for (const bool refused : shown.refusals) {
    out << ' ' << refused;
  }
  out << "; ways:";
  for (const std::uint8_t way : shown.ways) {
    out << ' ' << way % 3;
  }
  return out;
}

/// Reads the whole stream with nothing but arithmetic.
inline outcome decode_naively(const bytes& stream) {
  outcome result;
  std::size_t at = 0;
  while (stream.size() - at >= 4) {
    std::int64_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      length = length * 256 + std::to_integer<int>(stream[at + i]);
    }
    if (length >= (std::int64_t{1} << 31) || length == 0 || length > max_frame) {
      result.failed = true;
      break;
    }
    const auto size = static_cast<std::size_t>(length);
    if (stream.size() - at - 4 < size) {
      break;
    }
    const auto begin = stream.begin() + static_cast<std::ptrdiff_t>(at + 4);
    result.frames.emplace_back(begin, begin + length);
    at += 4 + size;
  }
  return result;
}

/// A pool that refuses as it is told. All sources share one pool: making one takes far longer than
/// a stream.
class moody_source {
 public:
  explicit moody_source(const std::vector<bool>& refusals) : refusals_(refusals) {}

  [[nodiscard]] buffer try_alloc(std::size_t size) noexcept {
    const bool refuse = !refusals_.empty() && refusals_[next_++ % refusals_.size()];
    return refuse ? buffer{} : pool().try_alloc(size);
  }
  [[nodiscard]] static std::uint64_t held() {
    std::uint64_t sum = 0;
    for (const ring_buffer_pool& one : pool().classes()) {
      sum += one.stats().in_use;
    }
    return sum;
  }

 private:
  static multi_size_ring_pool& pool() {
    static multi_size_ring_pool all{{16, 2}, {64, 2}, {256, 2}, {1024, 2}};
    return all;
  }

  const std::vector<bool>& refusals_;
  std::size_t next_ = 0;
};

/// How a caller feeds the decoder.
struct careful {
  static std::size_t first_byte(std::size_t) { return 0; }
  static std::size_t fed_again(std::size_t left) { return left; }
  static std::size_t wrote(std::size_t received) { return received; }
  static std::size_t adopted_at(std::size_t offset) { return offset; }
};
/// Forgets a byte of the input at each refusal.
struct loses_a_byte_at_refusal : careful {
  static std::size_t fed_again(std::size_t left) { return left - 1; }
};
/// Skips the first byte of every input but the first.
struct skips_at_cuts : careful {
  static std::size_t first_byte(std::size_t at) { return at == 0 ? 0 : 1; }
};

/// Says that a byte less was received than there was.
struct says_too_little : careful {
  static std::size_t wrote(std::size_t received) { return received - (received > 1 ? 1 : 0); }
};
/// Names a place beside the bytes that the decoder is to go on with.
struct points_beside : careful {
  static std::size_t adopted_at(std::size_t offset) { return offset + 1; }
};

/// A decoder with a seeded bug: a frame that is not whole in one input ends one byte early.
class off_by_one_decoder {
 public:
  explicit off_by_one_decoder(std::uint32_t max_frame_bytes) : cursor_(max_frame_bytes) {}

  decode_result decode(moody_source& source, std::span<const std::byte> input) noexcept {
    const std::size_t offered = input.size();
    if (!cursor_.read_header(input)) {
      return {cursor_.failed() ? decode_status::failed : decode_status::need_bytes, offered};
    }
    const auto length = static_cast<std::size_t>(cursor_.length());
    if (!buffer_ && !input.empty()) {
      buffer_ = source.try_alloc(length);
      if (!buffer_) {
        return {decode_status::need_buffer, offered - input.size()};
      }
    }
    const std::size_t bug = cursor_.received() != 0 ? 1 : 0;
    const std::size_t taken = std::min(input.size(), length - bug - cursor_.received());
    std::copy_n(input.begin(), taken, buffer_.data() + cursor_.received());
    cursor_.advance(taken);
    const bool ready = cursor_.received() + bug >= length;
    return {ready ? decode_status::frame_ready : decode_status::need_bytes,
            offered - input.size() + taken};
  }
  [[nodiscard]] buffer take() noexcept {
    cursor_.reset();
    return std::move(buffer_);
  }

 private:
  frame_cursor cursor_;
  buffer buffer_;
};

/// Gives `piece` to the decoder in one of three ways: to be decoded; received where it has room; or
/// as bytes of a buffer that it goes on in. Where one cannot be, by the first.
template <class Caller, class Decoder>
decode_result give(Decoder& decoder, moody_source& source, std::span<const std::byte> piece,
                   unsigned way) {
  if constexpr (requires { decoder.writable(); }) {
    if (way == 1 && !piece.empty() && decoder.make_room(source)) {
      const std::span<std::byte> room = decoder.writable();
      const std::size_t received = std::min(room.size(), piece.size());
      std::copy_n(piece.begin(), received, room.begin());
      return {decoder.wrote(Caller::wrote(received)), received};
    }
    const frame_cursor& cursor = decoder.cursor();
    if (way == 2 && cursor.header_complete() && !cursor.failed() && !cursor.complete()) {
      const std::size_t missing = static_cast<std::size_t>(cursor.length()) - cursor.received();
      const std::size_t size = std::min(missing - 1, piece.size());
      const std::size_t offset = piece.size() % 9;
      buffer storage = source.try_alloc(cursor.received() + size + offset + 1);
      if (storage && size != 0) {
        std::copy_n(piece.begin(), size, storage.data() + offset);
        if (decoder.adopt(storage, Caller::adopted_at(offset), size)) {
          return {decode_status::need_bytes, size};
        }
      }
    }
  }
  return decoder.decode(source, piece);
}

template <class Caller, class Decoder = basic_frame_decoder<buffer>>
outcome decode_in_pieces(const stream_case& given) {
  moody_source source(given.refusals);
  outcome result;
  {
    Decoder decoder(max_frame);
    std::size_t piece_number = 0;
    std::size_t way_number = 0;
    for (std::size_t at = 0; at < given.stream.size() && !result.failed;) {
      const std::size_t wish = given.pieces[piece_number++ % given.pieces.size()];
      const std::size_t size = std::min(wish, given.stream.size() - at);
      std::span<const std::byte> piece = std::span(given.stream).subspan(at, size);
      piece = piece.subspan(Caller::first_byte(at));
      at += size;
      for (int tries = 0; tries < 10000; ++tries) {
        const unsigned way =
            given.ways.empty() ? 0 : given.ways[way_number++ % given.ways.size()] % 3;
        const auto [status, consumed] = give<Caller>(decoder, source, piece, way);
        piece = piece.subspan(consumed);
        if (status == decode_status::frame_ready) {
          const buffer frame = decoder.take();
          result.frames.emplace_back(frame.data(), frame.data() + frame.size());
        } else if (status == decode_status::need_buffer) {
          if (piece.empty()) {
            result.broken = "no buffer for no bytes";
            break;
          }
          piece = piece.last(Caller::fed_again(piece.size()));
        } else if (status != decode_status::need_bytes || way == 0 || piece.empty()) {
          result.failed = status == decode_status::failed;
          break;
        }
        if (moody_source::held() > 1) {
          result.broken = "a decoder holds two buffers";
        }
      }
    }
  }
  if (moody_source::held() != 0) {
    result.broken = "a buffer is lost";
  }
  return result;
}

}  // namespace ringpool::test
