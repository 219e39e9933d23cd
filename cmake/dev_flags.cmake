# SPDX-License-Identifier: MIT
# What the developers of ringpool compile it with. All off unless a preset turns it on, on the
# targets of this project alone, never exported.

option(RINGPOOL_WARNINGS "Compile ringpool's own sources with warnings" OFF)
option(RINGPOOL_WARNINGS_AS_ERRORS "A warning in ringpool's own sources is an error" OFF)
option(RINGPOOL_COVERAGE "Instrument ringpool's own targets for gcov" OFF)
option(RINGPOOL_UNITY_BUILD "Compile sources of tests and command together: faster from scratch" OFF)
set(RINGPOOL_SANITIZERS "" CACHE STRING "Sanitizers for ringpool's own targets, as in -fsanitize=")

add_library(ringpool_dev_flags INTERFACE)

if(RINGPOOL_WARNINGS)
  target_compile_options(ringpool_dev_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
    -Wold-style-cast -Wcast-align -Woverloaded-virtual -Wundef)
endif()
if(RINGPOOL_WARNINGS_AS_ERRORS)
  target_compile_options(ringpool_dev_flags INTERFACE -Werror)
endif()
if(RINGPOOL_SANITIZERS)
  target_compile_options(ringpool_dev_flags INTERFACE
    -fsanitize=${RINGPOOL_SANITIZERS} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(ringpool_dev_flags INTERFACE -fsanitize=${RINGPOOL_SANITIZERS})
  if(RINGPOOL_SANITIZERS MATCHES "undefined" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # What it would put before each function clang 14 cannot put before a coroutine.
    target_compile_options(ringpool_dev_flags INTERFACE -fno-sanitize=function)
  endif()
  if(RINGPOOL_SANITIZERS MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC warns of every fence, which its thread sanitizer does not model. Known, and the reason
    # why orders stand on operations wherever they can.
    target_compile_options(ringpool_dev_flags INTERFACE -Wno-tsan)
  endif()
endif()
if(RINGPOOL_COVERAGE)
  target_compile_options(ringpool_dev_flags INTERFACE --coverage -fprofile-update=atomic)
  target_compile_definitions(ringpool_dev_flags INTERFACE RINGPOOL_COVERAGE)
  target_link_options(ringpool_dev_flags INTERFACE --coverage)
endif()
