// SPDX-License-Identifier: MIT
#pragma once

// Everything but adapters.

#include "ringpool/account.hpp"
#include "ringpool/arena.hpp"
#include "ringpool/async_alloc.hpp"
#include "ringpool/buffer.hpp"
#include "ringpool/buffer_chain.hpp"
#include "ringpool/buffer_waiter.hpp"
#include "ringpool/census.hpp"
#include "ringpool/chain_cursor.hpp"
#include "ringpool/codec/chain_frame.hpp"
#include "ringpool/codec/frame.hpp"
#include "ringpool/config.hpp"
#include "ringpool/error.hpp"
#include "ringpool/fault_plan.hpp"
#include "ringpool/index_cache.hpp"
#include "ringpool/index_ring.hpp"
#include "ringpool/metrics.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/owner_scope.hpp"
#include "ringpool/pool_options.hpp"
#include "ringpool/ring_buffer_pool.hpp"
#include "ringpool/shared_buffer.hpp"
#include "ringpool/size_classes.hpp"
#include "ringpool/stats.hpp"
