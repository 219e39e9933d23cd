# SPDX-License-Identifier: MIT
# Each example is a program of its own, built and run by the tests.

file(GLOB ringpool_examples CONFIGURE_DEPENDS examples/*.cpp)
foreach(source ${ringpool_examples})
  cmake_path(GET source STEM name)
  if(name MATCHES "^uring_" AND NOT TARGET ringpool::uring)
    continue()
  endif()
  add_executable(ringpool_example_${name} ${source})
  target_link_libraries(ringpool_example_${name} PRIVATE ringpool::ringpool ringpool_dev_flags)
  if(name MATCHES "^uring_")
    target_link_libraries(ringpool_example_${name} PRIVATE ringpool::uring)
  endif()
  set_target_properties(ringpool_example_${name} PROPERTIES CXX_EXTENSIONS OFF)
  add_test(NAME example.${name} COMMAND ringpool_example_${name})
  set_tests_properties(example.${name} PROPERTIES LABELS example TIMEOUT 60)
endforeach()
