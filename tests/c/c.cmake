# SPDX-License-Identifier: MIT
# Each file is a program of its own, in C11.

function(ringpool_set_up_c target)
  target_link_libraries(${target} PRIVATE ringpool::c Threads::Threads)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Werror -pedantic)
  set_target_properties(${target} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
endfunction()

file(GLOB c_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
foreach(source IN LISTS c_sources)
  cmake_path(GET source STEM name)
  add_executable(ringpool_c_${name} ${source})
  ringpool_set_up_c(ringpool_c_${name})
  add_test(NAME c.${name} COMMAND ringpool_c_${name})
  set_tests_properties(c.${name} PROPERTIES LABELS c TIMEOUT 60)
endforeach()

foreach(name exports exports_twin)
  set(library ringpool_c)
  if(name MATCHES twin)
    set(library ringpool_test_plugin)
  endif()
  add_test(NAME c.${name} COMMAND Python3::Interpreter ${CMAKE_CURRENT_LIST_DIR}/test_exports.py
    ${PROJECT_SOURCE_DIR}/include/ringpool/ringpool.h $<TARGET_FILE:${library}>)
  set_tests_properties(c.${name} PROPERTIES
    LABELS c TIMEOUT 60 ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
endforeach()
set_tests_properties(c.exports_twin PROPERTIES PASS_REGULAR_EXPRESSION "is exported, and no function of")
