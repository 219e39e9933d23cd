// SPDX-License-Identifier: MIT
#include "ringpool/detail/index_ring_impl.hpp"

namespace ringpool {

template class basic_index_ring<detail::std_atomics>;

}  // namespace ringpool
