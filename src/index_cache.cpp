// SPDX-License-Identifier: MIT
#include "ringpool/detail/index_cache_impl.hpp"

namespace ringpool {

template class basic_index_cache<detail::production>;

}  // namespace ringpool
