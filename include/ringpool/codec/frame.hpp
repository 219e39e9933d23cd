// SPDX-License-Identifier: MIT
#pragma once

//  On the wire:  | length: 4 bytes, signed, big-endian, 1 .. maximum | that many bytes | length ...
//
//  The decoder's memory follows the bytes that came, never the length that was announced:
//
//    bytes so far   header        header + 1      header + 65             header + 16,384
//    announced      16,384        16,384          16,384                  16,384
//    held           nothing  ->   the smallest -> the next size, copied -> ... -> handed over
//
//  A frame that lies whole inside one input gets a buffer of its exact size at once.
//
// Guarantees
// - Any way of cutting a stream into inputs gives the same frames.
// - Between frames, and after a header alone, the decoder holds no buffer.
// - When the source has no buffer, decode() says so and names how many bytes it took; the caller
//   comes back later with the rest. Nothing is lost and nothing has to be undone.
// - A bad length is an error before any payload byte is looked at, and stays one until reset().

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ringpool {

inline constexpr std::size_t frame_header_bytes = 4;
/// Largest payload accepted unless set otherwise.
inline constexpr std::uint32_t default_max_frame_bytes = 16384;
/// Largest maximum that can be set: the length on the wire is signed.
inline constexpr std::uint32_t max_frame_limit_bytes = 0x7fffffff;

/// What is wrong with the length that came.
enum class frame_errc : std::uint8_t {
  zero_length = 1,  ///< a frame has at least one byte
  negative_length,  ///< the sign bit is set: a lie, or another byte order
  too_long,         ///< above the maximum that the decoder was given
};

[[nodiscard]] const std::error_category& frame_category() noexcept;
[[nodiscard]] std::error_code make_error_code(frame_errc code) noexcept;

/// What came and what is accepted: "frame length -2 is negative; accepted: 1 to 16384".
[[nodiscard]] std::string describe(frame_errc code, std::int32_t length,
                                   std::uint32_t max_frame_bytes);

/// A handle that owns bytes: `buffer` of a pool, or anything of that shape. `resize` is called
/// with at most capacity(); a default-constructed handle is empty (false).
// clang-format off
template <class Handle>
concept frame_buffer =
    std::movable<Handle> && !std::copyable<Handle> && std::default_initializable<Handle> &&
    requires(Handle& handle, const Handle& fixed, std::size_t size) {
      { fixed.data() } noexcept -> std::convertible_to<std::byte*>;
      { fixed.size() } noexcept -> std::convertible_to<std::size_t>;
      { fixed.capacity() } noexcept -> std::convertible_to<std::size_t>;
      { static_cast<bool>(fixed) } noexcept;
      { handle.resize(size) } noexcept;
    };
// clang-format on

/// Where a decoder takes buffers: `try_alloc(n)` gives a handle of size n, or an empty one when
/// there is none just now. A source that can never serve the maximum frame starves its decoder.
// clang-format off
template <class Source>
concept buffer_source = requires(Source& source, std::size_t size) {
  { source.try_alloc(size) } noexcept -> frame_buffer;
};
// clang-format on

enum class decode_status : std::uint8_t {
  need_bytes,   ///< all input is taken, the frame is not complete
  frame_ready,  ///< take() has the frame; the input behind it was left alone
  need_buffer,  ///< the source is exhausted: call again later with the input that was left
  failed,       ///< the length is bad, see error(); close the stream
};

struct decode_result {
  decode_status status;
  std::size_t consumed;  ///< bytes taken from the front of the input
};

/// Where a stream stands inside a frame; knows no buffers.
///
/// Invariant: received <= length <= maximum; received > 0 only when the header is complete.
/// Progress: wait-free.
/// Thread-safety: none; one stream, one thread at a time.
/// Cost: 16 bytes; no read-modify-write, no shared line.
class frame_cursor {
 public:
  /// A maximum outside 1 .. max_frame_limit_bytes is taken as the nearest of the two.
  explicit frame_cursor(std::uint32_t max_frame_bytes) noexcept;

  /// Takes header bytes off the front of `input`. True when a good header is complete; false when
  /// more bytes are needed or failed().
  [[nodiscard]] bool read_header(std::span<const std::byte>& input) noexcept;

  /// Bytes of buffer to ask for so that the payload at the front of `input` finds room as well; 0
  /// when `capacity` is enough. Whole frames ask for their exact size, parts for what came, and a
  /// buffer that is outgrown at least doubles, so that copying stays linear however small the
  /// inputs are.
  [[nodiscard]] std::size_t wanted(std::size_t capacity,
                                   std::span<const std::byte> input) const noexcept;

  void advance(std::size_t payload_bytes) noexcept {
    received_ += static_cast<std::uint32_t>(payload_bytes);
  }

  [[nodiscard]] bool header_complete() const noexcept {
    return header_count_ == frame_header_bytes;
  }
  [[nodiscard]] bool between_frames() const noexcept { return header_count_ == 0; }
  [[nodiscard]] bool complete() const noexcept { return header_complete() && received_ == length_; }
  [[nodiscard]] bool failed() const noexcept { return error_ != frame_errc{}; }
  [[nodiscard]] frame_errc error() const noexcept { return error_; }
  /// As announced; meaningful once the header is complete.
  [[nodiscard]] std::int32_t length() const noexcept { return static_cast<std::int32_t>(length_); }
  [[nodiscard]] std::size_t received() const noexcept { return received_; }
  [[nodiscard]] std::uint32_t max_frame_bytes() const noexcept { return max_frame_bytes_; }
  void reset() noexcept { *this = frame_cursor(max_frame_bytes_); }

 private:
  void check_length() noexcept;

  std::uint32_t length_ = 0;  // header bytes shift in from the right
  std::uint32_t received_ = 0;
  std::uint32_t max_frame_bytes_;
  std::uint8_t header_count_ = 0;
  frame_errc error_{};
};

static_assert(sizeof(frame_cursor) <= 16, "a decoder between frames is this and an empty handle");

/// Cuts a stream of bytes into frames, each in a buffer of its own.
///
///   for (;;) {
///     auto [status, consumed] = decoder.decode(pool, input);
///     input = input.subspan(consumed);
///     if (status != decode_status::frame_ready) break;
///     handle(decoder.take());
///   }
///
/// Invariant: holds at most one buffer, of the smallest size the source has for
///   max(bytes received, twice the last smaller buffer), and none between frames.
/// Progress: wait-free but for the source's try_alloc and the handle's destructor.
/// Thread-safety: none; one stream, one thread at a time.
/// Cost: a frame whole in one input: one try_alloc and one copy; a frame in many: one try_alloc a
///   size and at most two further copies of a byte on average.
template <frame_buffer Buffer>
class basic_frame_decoder {
 public:
  explicit basic_frame_decoder(std::uint32_t max_frame_bytes = default_max_frame_bytes) noexcept
      : cursor_(max_frame_bytes) {}

  /// Takes bytes until a frame is complete, the input ends, the source is exhausted, or the
  /// length is bad. Asked again in the last two states, or before take(), it says the same.
  template <buffer_source Source>
  [[nodiscard]] decode_result decode(Source& source, std::span<const std::byte> input) noexcept {
    const std::size_t offered = input.size();
    if (!cursor_.read_header(input)) {
      return {cursor_.failed() ? decode_status::failed : decode_status::need_bytes,
              offered - input.size()};
    }
    const std::size_t wanted = cursor_.wanted(capacity(), input);
    const bool served = wanted == 0 || grow(source, wanted);
    const std::size_t taken = store(input);
    const std::size_t consumed = offered - input.size() + taken;
    if (cursor_.complete()) {
      buffer_.resize(cursor_.received());
      return {decode_status::frame_ready, consumed};
    }
    return {served ? decode_status::need_bytes : decode_status::need_buffer, consumed};
  }

  /// The frame that decode() announced, size() being its length. The decoder is between frames
  /// again. Before frame_ready: an empty handle, and nothing changes.
  [[nodiscard]] Buffer take() noexcept {
    if (!cursor_.complete()) {
      return Buffer{};
    }
    cursor_.reset();
    return std::exchange(buffer_, Buffer{});
  }

  // For those who receive into buffers themselves, and may find the source exhausted:

  /// Where the next bytes of the frame may be received: behind those that came, up to its end or
  /// that of the buffer held. Empty when no buffer has room.
  [[nodiscard]] std::span<std::byte> writable() noexcept {
    const std::size_t received = cursor_.received();
    const std::size_t end = cursor_.header_complete()
                                ? std::min(capacity(), static_cast<std::size_t>(cursor_.length()))
                                : received;
    return end <= received ? std::span<std::byte>{}
                           : std::span<std::byte>{buffer_.data() + received, end - received};
  }
  /// Sees to it that writable() has room, in a larger buffer where the one held is full. False: the
  /// source is exhausted, or no payload byte is to come next.
  template <buffer_source Source>
  [[nodiscard]] bool make_room(Source& source) noexcept {
    if (!cursor_.header_complete() || cursor_.failed() || cursor_.complete()) {
      return false;
    }
    const std::byte next{};
    const std::size_t wanted = cursor_.wanted(capacity(), {&next, 1});
    return wanted == 0 || grow(source, wanted);
  }
  /// That many bytes were received there, at most as many as it has: need_bytes or frame_ready.
  decode_status wrote(std::size_t bytes) noexcept {
    cursor_.advance(std::min(bytes, writable().size()));
    if (!cursor_.complete()) {
      return decode_status::need_bytes;
    }
    buffer_.resize(cursor_.received());
    return decode_status::frame_ready;
  }
  /// Goes on in `storage`, in which the next `size` bytes of the frame lie already, `offset` bytes
  /// from its start. False, and nothing happens, when the header is not complete, they would
  /// complete the frame, or storage cannot hold them and what came before.
  [[nodiscard]] bool adopt(Buffer& storage, std::size_t offset, std::size_t size) noexcept {
    const std::size_t received = cursor_.received();
    if (!cursor_.header_complete() || received + size > storage.capacity() ||
        received + size >= static_cast<std::size_t>(cursor_.length())) {
      return false;
    }
    storage.resize(storage.capacity());
    std::memmove(storage.data() + received, storage.data() + offset, size);
    if (received != 0) {
      std::memcpy(storage.data(), buffer_.data(), received);
    }
    buffer_ = std::move(storage);
    cursor_.advance(size);
    return true;
  }
  /// What came of the payload, size() being how much: for those who can do with a frame in pieces.
  /// Between frames again; the rest of the frame is the caller's to follow.
  [[nodiscard]] Buffer take_part() noexcept {
    const std::size_t received = cursor_.received();
    cursor_.reset();
    if (buffer_) {
      buffer_.resize(received);
    }
    return std::exchange(buffer_, Buffer{});
  }

  /// Gives up a half frame and its buffer, or an error.
  void reset() noexcept {
    cursor_.reset();
    buffer_ = Buffer{};
  }

  /// True when nothing of a frame has come: no header byte, no payload, no error.
  [[nodiscard]] bool between_frames() const noexcept { return cursor_.between_frames(); }
  /// Bytes of buffer held now.
  [[nodiscard]] std::size_t held_bytes() const noexcept { return capacity(); }
  [[nodiscard]] const frame_cursor& cursor() const noexcept { return cursor_; }

  /// The reason of decode_status::failed; false otherwise.
  [[nodiscard]] std::error_code error() const noexcept {
    return cursor_.failed() ? make_error_code(cursor_.error()) : std::error_code{};
  }
  /// The same in words, with the length that came and what is accepted; empty without an error.
  [[nodiscard]] std::string error_message() const {
    return cursor_.failed() ? describe(cursor_.error(), cursor_.length(), cursor_.max_frame_bytes())
                            : std::string();
  }

 private:
  [[nodiscard]] std::size_t capacity() const noexcept { return buffer_ ? buffer_.capacity() : 0; }

  template <class Source>
  [[nodiscard]] bool grow(Source& source, std::size_t wanted) noexcept {
    Buffer larger = source.try_alloc(wanted);
    if (!larger) {
      return false;
    }
    if (buffer_) {
      std::memcpy(larger.data(), buffer_.data(), cursor_.received());
    }
    buffer_ = std::move(larger);
    return true;
  }

  /// Copies what fits and belongs to this frame; returns how much.
  [[nodiscard]] std::size_t store(std::span<const std::byte> input) noexcept {
    const std::size_t received = cursor_.received();
    const std::size_t room =
        std::min(capacity(), static_cast<std::size_t>(cursor_.length())) - received;
    const std::size_t taken = std::min(input.size(), room);
    if (taken != 0) {
      std::memcpy(buffer_.data() + received, input.data(), taken);
      cursor_.advance(taken);
    }
    return taken;
  }

  frame_cursor cursor_;
  Buffer buffer_{};
};

using frame_header = std::array<std::byte, frame_header_bytes>;

/// The bytes in front of a payload of 1 .. max_frame_limit_bytes bytes.
[[nodiscard]] frame_header encode_frame_header(std::uint32_t payload_bytes) noexcept;

/// Writes header and payload to the front of `out` and returns their length; 0, with `out`
/// unchanged, when they do not fit or the payload is empty or above max_frame_limit_bytes.
[[nodiscard]] std::size_t encode_frame(std::span<std::byte> out,
                                       std::span<const std::byte> payload) noexcept;

/// Header and payload for writev(2) or sendmsg(2), without a copy. Both must outlive the result.
[[nodiscard]] std::array<::iovec, 2> frame_iovecs(const frame_header& header,
                                                  std::span<const std::byte> payload) noexcept;

}  // namespace ringpool

template <>
struct std::is_error_code_enum<ringpool::frame_errc> : std::true_type {};
