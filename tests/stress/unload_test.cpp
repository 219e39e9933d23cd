// SPDX-License-Identifier: MIT
//
// A library that owns a pool is unloaded while threads that used it live on.

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "../support/resident.hpp"
#include "scale.hpp"

namespace ringpool::stress {
namespace {

class plugin {
 public:
  plugin() : handle_(::dlopen(RINGPOOL_TEST_PLUGIN, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ != nullptr) {
      use = reinterpret_cast<std::size_t (*)(std::size_t)>(::dlsym(handle_, "plugin_use"));
      leave_a_key_behind =
          reinterpret_cast<void (*)()>(::dlsym(handle_, "plugin_leave_a_key_behind"));
    }
  }
  ~plugin() {
    if (handle_ != nullptr) {
      ::dlclose(handle_);
    }
  }
  plugin(const plugin&) = delete;
  plugin& operator=(const plugin&) = delete;

  /// True where the library is still mapped.
  static bool is_loaded() {
    void* const still = ::dlopen(RINGPOOL_TEST_PLUGIN, RTLD_NOW | RTLD_NOLOAD);
    if (still != nullptr) {
      ::dlclose(still);
    }
    return still != nullptr;
  }

  std::size_t (*use)(std::size_t) = nullptr;
  void (*leave_a_key_behind)() = nullptr;

 private:
  void* handle_;
};

/// A thread calls the library, which then is unloaded; then the thread ends.
template <class Call>
void end_after_unloading(Call call) {
  std::atomic<bool> used{false};
  std::atomic<bool> may_end{false};
  std::jthread user;
  {
    const plugin one;
    ASSERT_NE(one.use, nullptr) << ::dlerror();
    user = std::jthread([&] {
      call(one);
      used = true;
      used.notify_one();
      may_end.wait(false);
    });
    used.wait(false);
    EXPECT_EQ(one.use(100), 64U);
  }
  EXPECT_FALSE(plugin::is_loaded());
  may_end = true;
  may_end.notify_one();
}

TEST(unload, a_thread_that_used_the_pool_ends_after_its_library_is_gone) {
  for (int round = 0; round < 20; ++round) {
    end_after_unloading([](const plugin& one) { EXPECT_EQ(one.use(100), 64U); });
  }
}

TEST(unload_twin, a_library_that_leaves_a_key_behind_ends_the_process) {
  EXPECT_EXIT(end_after_unloading([](const plugin& one) { one.leave_a_key_behind(); }),
              ::testing::KilledBySignal(SIGSEGV), "");
}

TEST(unload, loading_and_unloading_leaves_nothing_behind) {
  const auto load_and_use = [] {
    plugin one;
    ASSERT_NE(one.use, nullptr) << ::dlerror();
    EXPECT_EQ(one.use(10), 64U);
    std::jthread([use = one.use] { EXPECT_EQ(use(10), 64U); }).join();
  };
  for (int round = 0; round < 50; ++round) {
    load_and_use();
  }
  const std::size_t before = test::resident_bytes_of_process();
  const std::size_t rounds = scaled(1'000, 100);
  for (std::size_t round = 0; round < rounds; ++round) {
    load_and_use();
  }
  if (!under_sanitizer) {  // which keep what is freed for a while
    EXPECT_LT(test::resident_bytes_of_process(), before + (std::size_t{1} << 20));
  }
  EXPECT_FALSE(plugin::is_loaded());
}

}  // namespace
}  // namespace ringpool::stress
