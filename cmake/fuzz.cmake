# SPDX-License-Identifier: MIT
# The fuzz targets, for the preset `fuzz`: tests/fuzz/NAME.cpp with its corpus beside it. A test
# replays the corpus and goes on for a few seconds; a twin with a seeded bug must fail in that time.

include(CTest)
find_package(CLI11 CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
set(RINGPOOL_FUZZ_SECONDS 2 CACHE STRING "Seconds for which a test runs each fuzz target")

# Numbers are compared in every line, texts in few: tracing comparisons pays for texts alone.
target_compile_options(ringpool PRIVATE -fno-sanitize-coverage=trace-cmp)

# ringpool_add_fuzz_target(NAME frame_decoder [TEXTS] [TWIN "what it must say"] [LIBRARIES ...])
function(ringpool_add_fuzz_target)
  cmake_parse_arguments(PARSE_ARGV 0 arg "TEXTS" "NAME;TWIN" "LIBRARIES")
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${arg_NAME})
  foreach(kind fuzz fuzz_twin)
    if(kind STREQUAL "fuzz_twin" AND NOT arg_TWIN)
      continue()
    endif()
    set(target ringpool_${kind}_${arg_NAME})
    add_executable(${target} tests/fuzz/${arg_NAME}.cpp tests/fuzz/asan_defaults.cpp)
    target_link_libraries(${target} PRIVATE ringpool::ringpool ${arg_LIBRARIES} ringpool_dev_flags)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    target_compile_options(${target} PRIVATE
      -fsanitize-coverage-ignorelist=${PROJECT_SOURCE_DIR}/tests/fuzz/uninstrumented.txt
      $<$<NOT:$<BOOL:${arg_TEXTS}>>:-fno-sanitize-coverage=trace-cmp>)
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
    set(found ${PROJECT_BINARY_DIR}/found/${kind}_${arg_NAME})
    file(MAKE_DIRECTORY ${found})
    add_test(NAME ${kind}.${arg_NAME}
      COMMAND ${target} -seed=1 -timeout=20 -artifact_prefix=${found}/
              -max_total_time=${RINGPOOL_FUZZ_SECONDS} ${found} ${corpus})
    set_tests_properties(${kind}.${arg_NAME} PROPERTIES LABELS fuzz TIMEOUT 120)
  endforeach()
  if(arg_TWIN)
    target_compile_definitions(ringpool_fuzz_twin_${arg_NAME} PRIVATE RINGPOOL_FUZZ_TWIN)
    set_tests_properties(fuzz_twin.${arg_NAME} PROPERTIES PASS_REGULAR_EXPRESSION "${arg_TWIN}")
  endif()
endfunction()

foreach(library texts command)
  add_library(ringpool_fuzz_${library} STATIC)
  target_include_directories(ringpool_fuzz_${library} PUBLIC tools/ringpool)
  target_link_libraries(ringpool_fuzz_${library}
    PUBLIC ringpool::ringpool CLI11::CLI11 fmt::fmt PRIVATE ringpool_dev_flags)
endforeach()
target_sources(ringpool_fuzz_texts PRIVATE
  tools/ringpool/size_mix.cpp tools/ringpool/listener.cpp tools/ringpool/load_target.cpp)
target_sources(ringpool_fuzz_command PRIVATE
  tools/ringpool/load_options.cpp tools/ringpool/serve_options.cpp tools/ringpool/progress.cpp
  tools/ringpool/report.cpp tools/ringpool/advise/advise_options.cpp)
target_link_libraries(ringpool_fuzz_command PUBLIC ringpool_fuzz_texts)

# The readers of traffic: one file of all, which takes a third of the time.
find_library(RINGPOOL_PCAP_LIBRARY pcap REQUIRED)
add_library(ringpool_fuzz_traffic STATIC
  tools/ringpool/advise/packet.cpp tools/ringpool/advise/frame_scanner.cpp
  tools/ringpool/advise/tcp_streams.cpp tools/ringpool/advise/sample_sink.cpp
  tools/ringpool/advise/input_file.cpp tools/ringpool/advise/read_capture.cpp
  tools/ringpool/advise/read_table.cpp tools/ringpool/advise/read_recording.cpp)
target_sources(ringpool_fuzz_traffic PRIVATE tools/ringpool/report.cpp)
target_include_directories(ringpool_fuzz_traffic PUBLIC tools/ringpool)
target_link_libraries(ringpool_fuzz_traffic
  PUBLIC ringpool::ringpool fmt::fmt ${RINGPOOL_PCAP_LIBRARY} PRIVATE ringpool_dev_flags)
set_target_properties(ringpool_fuzz_traffic PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)

ringpool_add_fuzz_target(NAME frame_decoder TWIN "the decoder and plain arithmetic differ")
ringpool_add_fuzz_target(NAME pool_operations TWIN "the pool and its model differ")
ringpool_add_fuzz_target(NAME parsers TEXTS LIBRARIES ringpool_fuzz_texts)
ringpool_add_fuzz_target(NAME readers TEXTS LIBRARIES ringpool_fuzz_traffic)
ringpool_add_fuzz_target(NAME command_line TEXTS LIBRARIES ringpool_fuzz_command)
ringpool_add_fuzz_target(NAME buffer_chain TWIN "the chain and vectors differ")

add_custom_target(ringpool_fuzz_quick)  # all but the command line and readers, which take long to build
add_dependencies(ringpool_fuzz_quick
  ringpool_fuzz_frame_decoder ringpool_fuzz_twin_frame_decoder
  ringpool_fuzz_pool_operations ringpool_fuzz_twin_pool_operations
  ringpool_fuzz_buffer_chain ringpool_fuzz_twin_buffer_chain
  ringpool_fuzz_parsers)
