# SPDX-License-Identifier: MIT
# ringpool_bench. Left out, with a line that says so, where Google Benchmark or fmt is missing.

file(GLOB ringpool_bench_sources CONFIGURE_DEPENDS bench/*.cpp)
if(NOT ringpool_bench_sources)
  return()
endif()
find_package(benchmark CONFIG QUIET)
find_package(fmt CONFIG QUIET)
if(NOT benchmark_FOUND OR NOT fmt_FOUND)
  message(STATUS "Google Benchmark or fmt not found: ringpool_bench is left out")
  return()
endif()

add_executable(ringpool_bench ${ringpool_bench_sources})
target_link_libraries(ringpool_bench
  PRIVATE ringpool::ringpool benchmark::benchmark fmt::fmt ringpool_dev_flags)
set_target_properties(ringpool_bench PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  CXX_EXTENSIONS OFF)
add_test(NAME bench.smoke COMMAND ringpool_bench --smoke)
set_tests_properties(bench.smoke PROPERTIES LABELS bench TIMEOUT 120)
