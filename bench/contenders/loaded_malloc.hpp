// SPDX-License-Identifier: MIT
#pragma once

// A malloc replacement beside the process's own malloc: its shared library is loaded with its
// symbols kept to itself, and its functions are called through pointers that are set once.

#include <dlfcn.h>

#include "add_contender.hpp"

namespace bench {

/// Library: a type with `about`, `file`, `malloc_name`, `free_name`.
template <class Library>
class loaded_malloc {
 public:
  static constexpr bench::about about = Library::about;
  explicit loaded_malloc(const demand&) {}
  void* take(std::size_t bytes) { return malloc_(bytes); }
  void give(void* buffer, std::size_t) { free_(buffer); }

  static bool load_and_add() {
    void* const library = dlopen(Library::file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (library != nullptr) {
      malloc_ = reinterpret_cast<void* (*)(std::size_t)>(dlsym(library, Library::malloc_name));
      free_ = reinterpret_cast<void (*)(void*)>(dlsym(library, Library::free_name));
    }
    if (malloc_ == nullptr || free_ == nullptr) {
      leave_out(Library::about.name, dlerror());
      return false;
    }
    return add<loaded_malloc>();
  }

 private:
  static inline void* (*malloc_)(std::size_t) = nullptr;
  static inline void (*free_)(void*) = nullptr;
};

}  // namespace bench
