# SPDX-License-Identifier: MIT
# Each example is a program of its own, built and run by the tests; one with a line `// needs TARGET`
# only where that target is, and the compiler one whose coroutines Asio takes.

file(GLOB ringpool_examples CONFIGURE_DEPENDS examples/*.cpp)
foreach(source ${ringpool_examples})
  cmake_path(GET source STEM name)
  file(STRINGS ${source} needs REGEX "^// needs ")
  string(REPLACE "// needs " "" needs "${needs}")
  if(needs AND NOT (TARGET "${needs}" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU"))
    continue()
  endif()
  add_executable(ringpool_example_${name} ${source})
  target_link_libraries(ringpool_example_${name} PRIVATE ringpool::ringpool ${needs} ringpool_dev_flags)
  set_target_properties(ringpool_example_${name} PROPERTIES CXX_EXTENSIONS OFF)
  add_test(NAME example.${name} COMMAND ringpool_example_${name})
  set_tests_properties(example.${name} PROPERTIES LABELS example TIMEOUT 60)
endforeach()
