// SPDX-License-Identifier: MIT

// Any sequence of calls on any set of pools leaves what the model says, misuse included. The first
// 16 bytes are the set-up, each further 4 a call.

#include <cstdio>
#include <cstdlib>

#include "../property/pool_model.hpp"

namespace {

using namespace ringpool::test;

#if defined(RINGPOOL_FUZZ_TWIN)
/// Now and then gives out what it gave out last, when asked for the same size again.
class pool : public ringpool::multi_size_ring_pool {
 public:
  using multi_size_ring_pool::multi_size_ring_pool;
  void* allocate(std::size_t size) {
    if (size != 0 && size == last_size_ && ++calls_ % 3 == 0) {
      return last_;
    }
    last_ = multi_size_ring_pool::allocate(size);
    last_size_ = last_ == nullptr ? 0 : size;
    return last_;
  }

 private:
  void* last_ = nullptr;
  std::size_t last_size_ = 0;
  int calls_ = 0;
};
#else
using pool = ringpool::multi_size_ring_pool;
#endif

template <class Number>
Number next_number(const std::uint8_t*& data, std::size_t& size) {
  Number made = 0;
  for (std::size_t i = 0; i < sizeof made && size != 0; ++i, ++data, --size) {
    made = static_cast<Number>(made | static_cast<Number>(*data) << (8 * i));
  }
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::array<std::uint16_t, 12> numbers{};
  for (std::uint16_t& one : numbers) {
    one = next_number<std::uint16_t>(data, size);
  }
  words operations;
  while (size != 0) {
    operations.push_back(next_number<std::uint32_t>(data, size));
  }
  pool_setup setup = pool_setup::make(numbers);
  setup.options.memory.prefault = false;  // few pages are used, for a few microseconds
  const std::string problem = pool_against_model<pool>(setup).run(operations);
  if (!problem.empty()) {
    std::fprintf(stderr, "the pool and its model differ: %s\n", problem.c_str());
    std::abort();
  }
  return 0;
}
