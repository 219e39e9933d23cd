# SPDX-License-Identifier: MIT
# Each example is a program of its own, built and run by the tests.

file(GLOB ringpool_examples CONFIGURE_DEPENDS examples/*.cpp examples/*.c)
if(NOT ringpool_test_c)
  list(FILTER ringpool_examples EXCLUDE REGEX "\\.c$")
endif()
foreach(source ${ringpool_examples})
  cmake_path(GET source STEM name)
  add_executable(ringpool_example_${name} ${source})
  if(source MATCHES "\\.c$")
    ringpool_set_up_c(ringpool_example_${name})
  else()
    target_link_libraries(ringpool_example_${name} PRIVATE ringpool::ringpool ringpool_dev_flags)
    set_target_properties(ringpool_example_${name} PROPERTIES CXX_EXTENSIONS OFF)
  endif()
  add_test(NAME example.${name} COMMAND ringpool_example_${name})
  set_tests_properties(example.${name} PROPERTIES LABELS example TIMEOUT 60)
endforeach()
