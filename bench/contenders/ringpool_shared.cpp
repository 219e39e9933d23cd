// SPDX-License-Identifier: MIT
// needs libringpool_bench_consumer.so

#include <dlfcn.h>

#include <ringpool/ringpool.hpp>

#include "add_contender.hpp"

namespace {

template <class Function>
Function* symbol(void* library, const char* name) {
  return library == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(library, name));
}

void* const library =
    dlopen("libringpool_bench_consumer.so", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
auto* const open_pool = symbol<void*(std::size_t, std::size_t)>(library, "consumer_open");
auto* const close_pool = symbol<void(void*)>(library, "consumer_close");
auto* const take_from = symbol<void*(void*, std::size_t)>(library, "consumer_take");
auto* const give_to = symbol<void(void*, void*)>(library, "consumer_give");

/// Through two shared libraries, called as a malloc replacement is.
class ringpool_shared {
 public:
  static constexpr bench::about about{.name = "ringpool, shared library", .ours = true};
  explicit ringpool_shared(const bench::demand& wanted)
      : pool_(open_pool(wanted.bytes, wanted.count)) {}
  ~ringpool_shared() { close_pool(pool_); }
  ringpool_shared(const ringpool_shared&) = delete;
  ringpool_shared& operator=(const ringpool_shared&) = delete;
  void* take(std::size_t bytes) { return take_from(pool_, bytes); }
  void give(void* buffer, std::size_t) { give_to(pool_, buffer); }

 private:
  void* pool_;
};

const bool added = library != nullptr
                       ? bench::add<ringpool_shared>()
                       : (bench::leave_out(ringpool_shared::about.name, dlerror()), false);

}  // namespace
