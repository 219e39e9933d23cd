# SPDX-License-Identifier: MIT
# The `ringpool` command: serve, load, demo, top.

find_package(CLI11 CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
find_package(tomlplusplus CONFIG REQUIRED)
find_path(ringpool_httplib_include httplib.h REQUIRED)  # Debian: libcpp-httplib-dev
find_library(ringpool_httplib_library cpp-httplib REQUIRED)
find_library(ringpool_pcap_library pcap REQUIRED)  # captures to be advised from

include(cmake/presets.cmake)

# What `advise` computes, apart from what reads and prints: property tests link it alone.
set(ringpool_advice_names class_load classes forecast replay size_histogram)
list(TRANSFORM ringpool_advice_names REPLACE "(.+)" "tools/ringpool/advise/\\1.cpp"
  OUTPUT_VARIABLE ringpool_advice_sources)
list(APPEND ringpool_advice_sources tools/ringpool/memory_use.cpp)
add_library(ringpool_advice STATIC ${ringpool_advice_sources})
target_include_directories(ringpool_advice PUBLIC ${PROJECT_SOURCE_DIR}/tools/ringpool)
target_link_libraries(ringpool_advice PUBLIC ringpool::ringpool PRIVATE ringpool_dev_flags)
set_target_properties(ringpool_advice PROPERTIES CXX_EXTENSIONS OFF)

# All but main() is a library, so that tests can link it.
#
# Options are read once and reports printed once, but CLI11 and the JSON library were a third of the
# time that a build took: no need to optimise that part, nor to parse them in every file anew.
file(GLOB_RECURSE ringpool_tools_sources CONFIGURE_DEPENDS tools/ringpool/*.cpp)
list(FILTER ringpool_tools_sources EXCLUDE REGEX "/main\\.cpp$")
list(FILTER ringpool_tools_sources EXCLUDE REGEX "/(advise/(class_load|classes|forecast|replay|size_histogram)|memory_use)\\.cpp$")
if(TARGET ringpool::uring)
  list(FILTER ringpool_tools_sources EXCLUDE REGEX "/uring_missing\\.cpp$")
else()
  list(FILTER ringpool_tools_sources EXCLUDE REGEX "/(herd|uring_(backend|frames|loop|service|upkeep))\\.cpp$")
endif()
set(ringpool_http_sources tools/ringpool/metrics/http_server.cpp tools/ringpool/stats_client.cpp)
list(FILTER ringpool_tools_sources EXCLUDE REGEX "/(metrics/http_server|stats_client)\\.cpp$")
set(ringpool_cold_sources ${ringpool_tools_sources})
set(ringpool_cold_regex "/(advi[cs]e[^/]*|demo[^/]*|million[^/]*|child_server|[^/]*_options|[^/]*report|serve_stats|progress|config/[^/]*|metrics/[^/]*|page/[^/]*|top/[^/]*|advise/(read_[^/]*|packet|frame_scanner|tcp_streams|sample_sink|input_file))\\.cpp$")
list(FILTER ringpool_cold_sources INCLUDE REGEX "${ringpool_cold_regex}")
list(FILTER ringpool_tools_sources EXCLUDE REGEX "${ringpool_cold_regex}")
list(APPEND ringpool_cold_sources ${ringpool_presets_source})

set(ringpool_cold_option $<IF:$<CONFIG:Release>,-O1,-O0>)
add_library(ringpool_cold_tools OBJECT ${ringpool_cold_sources})
target_compile_options(ringpool_cold_tools PRIVATE ${ringpool_cold_option})
set_target_properties(ringpool_cold_tools PROPERTIES
  UNITY_BUILD ${RINGPOOL_UNITY_BUILD}
  UNITY_BUILD_BATCH_SIZE 4)
target_link_libraries(ringpool_cold_tools PUBLIC tomlplusplus::tomlplusplus)
# The one file that parses TOML: its headers are too much to be compiled with others.
set_source_files_properties(tools/ringpool/config/toml_config.cpp PROPERTIES
  SKIP_UNITY_BUILD_INCLUSION ON)
# HTTP, server and client: the library's header takes longest to compile, so once for both.
add_library(ringpool_http_tools OBJECT ${ringpool_http_sources})
# In a unity file g++ takes the server's own types for those of a header.
target_compile_options(ringpool_http_tools PRIVATE ${ringpool_cold_option}
  $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
set_target_properties(ringpool_http_tools PROPERTIES
  UNITY_BUILD ${RINGPOOL_UNITY_BUILD}
  UNITY_BUILD_BATCH_SIZE 0)

# The live page goes into the command: index.html with its style and script, as a raw string.
set(ringpool_page ${PROJECT_BINARY_DIR}/page)
file(GLOB ringpool_page_sources CONFIGURE_DEPENDS tools/ringpool/page/*.html tools/ringpool/page/*.css
  tools/ringpool/page/*.js)
file(MAKE_DIRECTORY ${ringpool_page})
add_custom_command(
  OUTPUT ${ringpool_page}/index.html ${ringpool_page}/page_html.inc
  COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/scripts/embed_page.py
    ${PROJECT_SOURCE_DIR}/tools/ringpool/page ${ringpool_page}/index.html ${ringpool_page}/page_html.inc
  DEPENDS scripts/embed_page.py ${ringpool_page_sources}
  VERBATIM)
target_sources(ringpool_cold_tools PRIVATE ${ringpool_page}/page_html.inc)
target_include_directories(ringpool_cold_tools PRIVATE ${ringpool_page})

add_library(ringpool_tools STATIC ${ringpool_tools_sources})
target_link_libraries(ringpool_tools
  PUBLIC ringpool_advice
  PRIVATE ringpool_cold_tools ringpool_http_tools ZLIB::ZLIB ${ringpool_pcap_library} ${ringpool_httplib_library})
if(TARGET ringpool::uring)
  target_link_libraries(ringpool_tools PUBLIC ringpool::uring)
endif()
foreach(target ringpool_cold_tools ringpool_http_tools ringpool_tools)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/tools/ringpool)
  target_link_libraries(${target}
    PUBLIC ringpool::ringpool CLI11::CLI11 fmt::fmt nlohmann_json::nlohmann_json
    PRIVATE ringpool_dev_flags)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endforeach()

add_executable(ringpool_cli tools/ringpool/main.cpp)
target_link_libraries(ringpool_cli PRIVATE ringpool_tools ringpool_dev_flags)
target_compile_options(ringpool_cli PRIVATE ${ringpool_cold_option})
# At the top of the build tree, where ./run looks for it.
set_target_properties(ringpool_cli PROPERTIES
  OUTPUT_NAME ringpool
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  ENABLE_EXPORTS ON  # names of who holds buffers
  CXX_EXTENSIONS OFF)
