// SPDX-License-Identifier: MIT
#include "ringpool/codec/chain_frame.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace ringpool {

decode_status chain_frame_decoder::decode(shared_buffer& input) noexcept {
  std::span<const std::byte> bytes = input.span();
  const bool good = cursor_.read_header(bytes);
  input.remove_prefix(input.size() - bytes.size());
  if (good && !cursor_.complete() && !bytes.empty() && !store(input)) {
    return decode_status::need_buffer;
  }
  if (input.size() == 0) {
    input.reset();
  }
  if (!good) {
    return cursor_.failed() ? decode_status::failed : decode_status::need_bytes;
  }
  return cursor_.complete() ? decode_status::frame_ready : decode_status::need_bytes;
}

/// Moves what belongs to this frame from the front of `input` into it. False: as they were.
bool chain_frame_decoder::store(shared_buffer& input) noexcept {
  const std::size_t missing = static_cast<std::size_t>(cursor_.length()) - cursor_.received();
  const std::size_t offered = input.size();
  if (offered <= missing) {  // the handle itself: no count to change
    if (!frame_.append(std::move(input))) {
      return false;
    }
    cursor_.advance(offered);
    return true;
  }
  shared_buffer piece = input.slice(0, missing);
  if (!piece || !frame_.append(std::move(piece))) {
    return false;
  }
  input.remove_prefix(missing);
  cursor_.advance(missing);
  return true;
}

bool encode_frame(pool_ref pool, buffer_chain& chain) noexcept {
  if (chain.size() == 0 || chain.size() > max_frame_limit_bytes) {
    return false;
  }
  return chain.prepend_bytes(pool, encode_frame_header(static_cast<std::uint32_t>(chain.size())));
}

}  // namespace ringpool
