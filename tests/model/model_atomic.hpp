// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <source_location>
#include <type_traits>

#include "explorer.hpp"

namespace ringpool::model {

[[nodiscard]] constexpr order to_order(std::memory_order how) noexcept {
  switch (how) {
    case std::memory_order_relaxed: return order::relaxed;
    case std::memory_order_release: return order::release;
    case std::memory_order_acq_rel: return order::acq_rel;
    case std::memory_order_seq_cst: return order::seq_cst;
    default: return order::acquire;
  }
}

/// std::atomic's operations on explored memory. As large as T, and zeroed memory is one of value 0,
/// as the layouts of production need it. Needs no constructor to run.
template <class T>
class atomic {
 public:
  using where_type = std::source_location;
  atomic() = default;
  constexpr atomic(T value) noexcept {  // NOLINT(google-explicit-constructor): as std::atomic
    static_cast<void>(value);           // zero, in all code under test
  }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  T load(std::memory_order how, where_type where = where_type::current()) const {
    return static_cast<T>(model::load(id_, to_order(how), where));
  }
  void store(T value, std::memory_order how, where_type where = where_type::current()) {
    model::store(id_, static_cast<std::uint64_t>(value), to_order(how), where);
  }
  /// The last store, for oracles: touches no view and is no step.
  [[nodiscard]] T peek() const { return static_cast<T>(model::peek(id_)); }
  T fetch_add(T by, std::memory_order how, where_type where = where_type::current()) {
    return change(how, where, [by](T old) { return static_cast<T>(old + by); });
  }
  T fetch_sub(T by, std::memory_order how, where_type where = where_type::current()) {
    return change(how, where, [by](T old) { return static_cast<T>(old - by); });
  }
  T fetch_or(T mask, std::memory_order how, where_type where = where_type::current()) {
    return change(how, where, [mask](T old) { return static_cast<T>(old | mask); });
  }
  T fetch_and(T mask, std::memory_order how, where_type where = where_type::current()) {
    return change(how, where, [mask](T old) { return static_cast<T>(old & mask); });
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                               std::memory_order failure,
                               where_type where = where_type::current()) {
    bool done = false;
    auto exchange = [&](std::uint64_t value) {
      done = static_cast<T>(value) == expected;
      return update{done, static_cast<std::uint64_t>(desired)};
    };
    expected = static_cast<T>(model::read_modify_write(id_, to_order(success), to_order(failure),
                                                       change_ref(exchange), where));
    return done;
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                             std::memory_order failure, where_type where = where_type::current()) {
    return compare_exchange_strong(expected, desired, success, failure, where);
  }

 private:
  template <class Change>
  T change(std::memory_order how, const where_type& where, Change apply) {
    auto always = [&](std::uint64_t old) {
      return update{true, static_cast<std::uint64_t>(apply(static_cast<T>(old)))};
    };
    return static_cast<T>(
        model::read_modify_write(id_, to_order(how), to_order(how), change_ref(always), where));
  }

  struct nothing {};

  mutable location_id id_ = 0;
  [[no_unique_address]] std::conditional_t<(sizeof(T) > sizeof(location_id)),
                                           std::array<location_id, 1>, nothing>
      padding_{};
};

static_assert(sizeof(atomic<std::uint64_t>) == 8);
static_assert(sizeof(atomic<std::uint32_t>) == 4);

/// The memory that basic_index_ring and basic_index_cache are explored on.
struct atomics {
  template <class T>
  using atomic = model::atomic<T>;
  static void full_fence() { model::full_fence(); }
  static void prepare_write(const void* /*word*/) {}
};

}  // namespace ringpool::model
