# SPDX-License-Identifier: MIT
# ringpool_bench: ringpool beside its peers. ringpool_bench_own: the same without those peers that
# need a package, which is what the tests build. Both are left out, with a line that says so, where
# CLI11, fmt or the JSON library is missing.

find_package(CLI11 CONFIG QUIET)
find_package(fmt CONFIG QUIET)
find_package(nlohmann_json CONFIG QUIET)
if(NOT CLI11_FOUND OR NOT fmt_FOUND OR NOT nlohmann_json_FOUND)
  message(STATUS "CLI11, fmt or nlohmann-json not found: ringpool_bench is left out")
  return()
endif()

# ---- Contenders: those with a line `// needs HEADER` or `// needs LIBRARY.so` are peers.
find_package(foonathan_memory CONFIG QUIET)
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(ringpool_dpdk QUIET IMPORTED_TARGET libdpdk-libs)
endif()

file(GLOB ringpool_bench_contenders CONFIGURE_DEPENDS bench/contenders/*.cpp)
set(ringpool_bench_own "")
set(ringpool_bench_peers "")
set(ringpool_bench_missing "")
foreach(file IN LISTS ringpool_bench_contenders)
  file(STRINGS ${file} needs REGEX "^// needs ")
  if(NOT needs)
    list(APPEND ringpool_bench_own ${file})
    continue()
  endif()
  string(REPLACE "// needs " "" needs "${needs}")
  cmake_path(GET file STEM name)
  if(NOT needs MATCHES "\\.so")  # a library is looked for when the program runs
    find_path(ringpool_${name}_include ${needs}
              HINTS ${ringpool_dpdk_INCLUDE_DIRS} /usr/include/foonathan_memory)
  endif()
  if(needs MATCHES "\\.so" OR ringpool_${name}_include)
    list(APPEND ringpool_bench_peers ${file})
  else()
    list(APPEND ringpool_bench_missing "${name} (no ${needs})")
  endif()
endforeach()

# ---- What all of them share.
file(GLOB ringpool_bench_sources CONFIGURE_DEPENDS bench/*.cpp bench/workloads/*.cpp)
list(FILTER ringpool_bench_sources EXCLUDE REGEX "/main\\.cpp$")
add_library(ringpool_bench_common OBJECT ${ringpool_bench_sources})
target_include_directories(ringpool_bench_common PUBLIC ${PROJECT_SOURCE_DIR}/bench)
target_link_libraries(ringpool_bench_common
  PUBLIC ringpool::ringpool CLI11::CLI11 fmt::fmt nlohmann_json::nlohmann_json ringpool_dev_flags)
target_compile_definitions(ringpool_bench_common PRIVATE
  RINGPOOL_BENCH_FOLDER="${PROJECT_SOURCE_DIR}/bench")
set_target_properties(ringpool_bench_common PROPERTIES CXX_EXTENSIONS OFF)

# Options are read once and tables printed once: optimised, these few took longer to compile than all
# the rest.
foreach(name contenders files machine main options plan report results schedule targets)
  set_source_files_properties(bench/${name}.cpp PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O0>)
endforeach()

add_library(ringpool_bench_main OBJECT bench/main.cpp ${ringpool_bench_own})
target_link_libraries(ringpool_bench_main PUBLIC ringpool_bench_common)
add_executable(ringpool_bench_own)
target_link_libraries(ringpool_bench_own PRIVATE ringpool_bench_main ringpool_bench_common)

# ---- With the peers: built by `./run bench`, not by `all`.
list(JOIN ringpool_bench_missing ", " ringpool_bench_missing)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/bench_missing.cpp CONTENT [=[
#include "contender.hpp"
[[maybe_unused]] static const bool said = *"@ringpool_bench_missing@" == 0 ||
    (bench::leave_out("not built", "@ringpool_bench_missing@"), true);
]=])
add_executable(ringpool_bench EXCLUDE_FROM_ALL
  bench/micro/handles.cpp ${ringpool_bench_peers} ${PROJECT_BINARY_DIR}/bench_missing.cpp)
target_link_libraries(ringpool_bench
  PRIVATE ringpool_bench_main ringpool_bench_common ${CMAKE_DL_LIBS})
set_target_properties(ringpool_bench ringpool_bench_own PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  BUILD_RPATH ${PROJECT_BINARY_DIR}
  CXX_EXTENSIONS OFF)
find_package(benchmark CONFIG QUIET)
if(benchmark_FOUND)
  target_sources(ringpool_bench PRIVATE bench/micro/micro.cpp)
  target_link_libraries(ringpool_bench PRIVATE benchmark::benchmark)
endif()
if(ringpool_foonathan_memory_include)
  target_link_libraries(ringpool_bench PRIVATE foonathan_memory)
endif()
if(ringpool_tbb_fixed_pool_include)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/bench/contenders/tbb_fixed_pool.cpp PROPERTIES
    COMPILE_DEFINITIONS TBB_PREVIEW_MEMORY_POOL=1)
  target_link_libraries(ringpool_bench PRIVATE tbbmalloc)
endif()
if(ringpool_dpdk_mempool_include)
  # Its flags are for its own file alone: it wants another processor than the rest is built for.
  set(ringpool_dpdk_options ${ringpool_dpdk_CFLAGS_OTHER})
  foreach(folder IN LISTS ringpool_dpdk_INCLUDE_DIRS)
    list(APPEND ringpool_dpdk_options -isystem ${folder})
  endforeach()
  set_source_files_properties(${PROJECT_SOURCE_DIR}/bench/contenders/dpdk_mempool.cpp PROPERTIES
    COMPILE_OPTIONS "${ringpool_dpdk_options}")
  target_link_libraries(ringpool_bench PRIVATE rte_mempool rte_ring rte_eal)
endif()

# ---- ringpool as a shared library, and a plug-in that uses it.
add_library(ringpool_bench_shared SHARED EXCLUDE_FROM_ALL ${ringpool_sources})
target_include_directories(ringpool_bench_shared
  PUBLIC ${PROJECT_SOURCE_DIR}/include PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(ringpool_bench_shared PUBLIC Threads::Threads PRIVATE ringpool_dev_flags)
add_library(ringpool_bench_consumer MODULE EXCLUDE_FROM_ALL bench/shared/consumer.cpp)
target_link_libraries(ringpool_bench_consumer PRIVATE ringpool_bench_shared ringpool_dev_flags)
set_target_properties(ringpool_bench_shared ringpool_bench_consumer PROPERTIES
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  CXX_EXTENSIONS OFF)
target_compile_features(ringpool_bench_shared PUBLIC cxx_std_20)
add_dependencies(ringpool_bench ringpool_bench_consumer)

# ---- Servers that `ringpool serve` is compared with, see bench/servers/compare.py. Built when they
# are asked for, and tested with `./test --all`.
add_library(ringpool_bench_server_options OBJECT EXCLUDE_FROM_ALL bench/servers/options.cpp)
target_link_libraries(ringpool_bench_server_options PRIVATE CLI11::CLI11 ringpool_dev_flags)
target_compile_options(ringpool_bench_server_options PRIVATE $<$<CONFIG:Release>:-O0>)
target_compile_features(ringpool_bench_server_options PUBLIC cxx_std_20)
set_target_properties(ringpool_bench_server_options PROPERTIES CXX_EXTENSIONS OFF)
add_custom_target(ringpool_bench_servers)
file(GLOB ringpool_bench_server_files CONFIGURE_DEPENDS bench/servers/*_server.cpp)
foreach(file IN LISTS ringpool_bench_server_files)
  cmake_path(GET file STEM name)
  file(STRINGS ${file} needs REGEX "^// needs ")
  if(needs)
    string(REPLACE "// needs " "" needs "${needs}")
    find_path(ringpool_${name}_include ${needs})
    if(NOT ringpool_${name}_include)
      message(STATUS "${needs} not found: ${name} is left out")
      continue()
    endif()
  endif()
  add_executable(ringpool_bench_${name} EXCLUDE_FROM_ALL ${file})
  target_include_directories(ringpool_bench_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tools/ringpool)
  target_link_libraries(ringpool_bench_${name}
    PRIVATE ringpool_bench_server_options Threads::Threads ringpool_dev_flags)
  if(needs)
    target_include_directories(ringpool_bench_${name} SYSTEM PRIVATE ${ringpool_${name}_include})
  endif()
  set_target_properties(ringpool_bench_${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
    CXX_EXTENSIONS OFF)
  add_dependencies(ringpool_bench_servers ringpool_bench_${name})
endforeach()

# The members of a room, for `ringpool serve --mode room`, see bench/servers/uring.py.
add_executable(ringpool_bench_room_client EXCLUDE_FROM_ALL bench/servers/room_client.cpp)
target_include_directories(ringpool_bench_room_client
  PRIVATE ${PROJECT_SOURCE_DIR}/tools/ringpool)
target_link_libraries(ringpool_bench_room_client
  PRIVATE ringpool_bench_server_options CLI11::CLI11 ringpool_dev_flags)
set_target_properties(ringpool_bench_room_client PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  CXX_EXTENSIONS OFF)
add_dependencies(ringpool_bench_servers ringpool_bench_room_client)
# io_uring's ways to send and to receive, where Google Benchmark and liburing are.
if(benchmark_FOUND AND TARGET ringpool::uring)
  add_executable(ringpool_bench_uring_calls EXCLUDE_FROM_ALL bench/micro/uring_calls.cpp)
  target_link_libraries(ringpool_bench_uring_calls
    PRIVATE ringpool::uring benchmark::benchmark ringpool_dev_flags)
  set_target_properties(ringpool_bench_uring_calls PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
    CXX_EXTENSIONS OFF)
  add_dependencies(ringpool_bench_servers ringpool_bench_uring_calls)
endif()

# What sampling costs: a command of its own, built when it is asked for.
add_executable(ringpool_bench_sampling EXCLUDE_FROM_ALL bench/micro/sampling_cost.cpp)
target_link_libraries(ringpool_bench_sampling PRIVATE ringpool::ringpool ringpool_dev_flags)
set_target_properties(ringpool_bench_sampling PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  CXX_EXTENSIONS OFF)

# Expositions: what they cost the reader, and those who allocate meanwhile.
add_executable(ringpool_bench_metrics EXCLUDE_FROM_ALL bench/micro/metrics.cpp)
target_link_libraries(ringpool_bench_metrics PRIVATE ringpool::ringpool ringpool_dev_flags)
set_target_properties(ringpool_bench_metrics PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  CXX_EXTENSIONS OFF)

# ---- Tests.
if(RINGPOOL_BUILD_TESTS)
  find_package(GTest CONFIG REQUIRED)
  include(GoogleTest)
  file(GLOB ringpool_bench_tests CONFIGURE_DEPENDS tests/bench/*.cpp)
  ringpool_add_tests(NAME bench SOURCES ${ringpool_bench_tests} LIBRARIES ringpool_bench_common
    PROPERTIES RUN_SERIAL TRUE)
endif()
add_test(NAME bench.smoke
  COMMAND ringpool_bench_own --smoke --output ${PROJECT_BINARY_DIR}/bench_smoke)
set_tests_properties(bench.smoke PROPERTIES LABELS bench TIMEOUT 120)
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
if(TARGET ringpool_cli)
  foreach(file IN LISTS ringpool_bench_server_files)
    cmake_path(GET file STEM name)
    string(REGEX REPLACE "_server$" "" server ${name})
    string(REPLACE _ - server ${server})  # as compare.py calls it
    set(program none)
    if(TARGET ringpool_bench_${name})
      set(program $<TARGET_FILE:ringpool_bench_${name}>)
    endif()
    add_test(NAME bench.${name}
      COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tests/bench/test_servers.py
              $<TARGET_FILE:ringpool_cli> ${server} ${program})
    set_tests_properties(bench.${name} PROPERTIES
      LABELS more TIMEOUT 60 RESOURCE_LOCK server SKIP_RETURN_CODE 77
      ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
  endforeach()
  add_test(NAME bench.rooms
    COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tests/bench/test_rooms.py
            $<TARGET_FILE:ringpool_cli> $<TARGET_FILE:ringpool_bench_room_client>)
  set_tests_properties(bench.rooms PROPERTIES
    LABELS more TIMEOUT 120 RESOURCE_LOCK server SKIP_RETURN_CODE 77
    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
endif()

# ---- Instructions, where valgrind is, and in the builds that the budget is for.
find_program(ringpool_valgrind valgrind)
find_path(ringpool_callgrind_include valgrind/callgrind.h)
if(NOT ringpool_valgrind OR NOT ringpool_callgrind_include OR NOT CMAKE_BUILD_TYPE STREQUAL "Release"
   OR RINGPOOL_SANITIZERS OR RINGPOOL_COVERAGE)
  return()
endif()
add_executable(ringpool_bench_paths bench/paths/main.cpp)
target_link_libraries(ringpool_bench_paths PRIVATE ringpool::ringpool ringpool_dev_flags)
set_target_properties(ringpool_bench_paths PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  CXX_EXTENSIONS OFF)
string(REGEX MATCH "^[0-9]+" ringpool_compiler_major ${CMAKE_CXX_COMPILER_VERSION})
set(ringpool_budget_build
  "${CMAKE_CXX_COMPILER_ID} ${ringpool_compiler_major} ${CMAKE_SYSTEM_PROCESSOR}")
foreach(action check twin)
  add_test(NAME bench.instructions_${action}
    COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/bench/instruction_budget.py ${action}
            $<TARGET_FILE:ringpool_bench_paths> ${ringpool_budget_build})
  set_tests_properties(bench.instructions_${action} PROPERTIES
    LABELS bench TIMEOUT 120 SKIP_RETURN_CODE 77)
endforeach()
# What the paths take now becomes the budget.
add_custom_target(instruction_budget
  COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/bench/instruction_budget.py update
          $<TARGET_FILE:ringpool_bench_paths> ${ringpool_budget_build}
  VERBATIM)
