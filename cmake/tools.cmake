# SPDX-License-Identifier: MIT
# The `ringpool` command: serve, load, demo.

find_package(CLI11 CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(ZLIB REQUIRED)

# All but main() is a library, so that tests can link it.
file(GLOB ringpool_tools_sources CONFIGURE_DEPENDS tools/ringpool/*.cpp)
list(FILTER ringpool_tools_sources EXCLUDE REGEX "/main\\.cpp$")
add_library(ringpool_tools STATIC ${ringpool_tools_sources})
target_include_directories(ringpool_tools PUBLIC ${PROJECT_SOURCE_DIR}/tools/ringpool)
target_link_libraries(ringpool_tools
  PUBLIC ringpool::ringpool CLI11::CLI11 fmt::fmt nlohmann_json::nlohmann_json
  PRIVATE ZLIB::ZLIB ringpool_dev_flags)
set_target_properties(ringpool_tools PROPERTIES CXX_EXTENSIONS OFF)

# Options are read once and reports printed once: optimised code of CLI11 and the JSON library under
# sanitizers was a third of the time that such a build took.
if(RINGPOOL_SANITIZERS)
  set(ringpool_tools_cold ${ringpool_tools_sources})
  list(FILTER ringpool_tools_cold INCLUDE
       REGEX "/(demo[^/]*|[^/]*_options|[^/]*report|serve_stats|progress)\\.cpp$")
  set_source_files_properties(${ringpool_tools_cold} tools/ringpool/main.cpp
                              PROPERTIES COMPILE_OPTIONS -O0)
endif()

add_executable(ringpool_cli tools/ringpool/main.cpp)
target_link_libraries(ringpool_cli PRIVATE ringpool_tools ringpool_dev_flags)
# At the top of the build tree, where ./run looks for it.
set_target_properties(ringpool_cli PROPERTIES
  OUTPUT_NAME ringpool
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
  CXX_EXTENSIONS OFF)
